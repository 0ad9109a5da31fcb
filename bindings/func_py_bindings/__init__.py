"""Trigger and binding types: how values of the outside become arguments of user functions.

Never imports the host; what a binding needs from it comes through the protocols of `contract`.
"""
