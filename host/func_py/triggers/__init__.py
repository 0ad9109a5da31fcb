"""Listeners of storage: what makes functions run when something lies in a queue or a container."""
