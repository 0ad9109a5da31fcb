"""Task hubs in Azure Storage and Azurite, in the layout of DurableTask.AzureStorage."""

from func_py.durable.storage.azure.provider import AzureStorageProvider

__all__ = ["AzureStorageProvider"]
