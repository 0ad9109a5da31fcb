"""`/runtime/webhooks/durabletask`: the management API of the task hub."""

from func_py.management.api import BASE_PATH, DurableApi
from func_py.management.http import DurableWebhook
from func_py.management.local import LocalTransport

__all__ = ["BASE_PATH", "DurableApi", "DurableWebhook", "LocalTransport"]
