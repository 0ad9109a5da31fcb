"""The SQL provider: one task hub over any database that has a dialect (a folder beside this).

The provider's logic is here; a dialect is its queries, its schema migrations and a small class.
"""
