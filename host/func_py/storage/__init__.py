"""Azure Storage for bindings: connections, queues, blobs, tables.

Its modules import the SDK's clients. A host imports them when its app has a binding to storage.
"""
