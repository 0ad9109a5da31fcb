"""func-py: a pure-Python host for Azure Functions and Durable Functions apps."""

__version__ = "0.1.0"
