"""Unknown keys of host.json, with the key that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import get_args

import msgspec

from func_py.config.jsonc import JsonValue
from func_py.config.settings import HostFile


def _keys(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STORAGE_PROVIDER = "extensions.durableTask.storageProvider"

# Keys that the official host knows and this one reads over, by section.
_ACCEPTED: dict[str, frozenset[str]] = {
    "": _keys(
        "$schema aggregator concurrency customHandler easyauth extensionBundle "
        "healthMonitor httpWorker isDefaultHostConfig managedDependency metadataProviderTimeout "
        "scale sendCanceledInvocationsToWorker sequentialRestart singleton"
    ),
    "aggregator": _keys("batchSize flushTimeout"),
    "concurrency": _keys(
        "cpuThreshold dynamicConcurrencyEnabled maximumFunctionConcurrency memoryThreshold "
        "snapshotPersistenceEnabled totalAvailableMemoryBytes"
    ),
    "extensionBundle": _keys("downloadPath ensureLatest id version"),
    "healthMonitor": _keys(
        "counterThreshold enabled healthCheckInterval healthCheckThreshold healthCheckWindow"
    ),
    "singleton": _keys(
        "listenerLockPeriod listenerLockRecoveryPollingInterval lockAcquisitionPollingInterval "
        "lockAcquisitionTimeout lockPeriod"
    ),
    "logging": _keys("applicationInsights fileLoggingMode"),
    "logging.applicationInsights": _keys(
        "dependencyTrackingOptions enableAutoCollectionCorrelation enableDependencyTracking "
        "enableLiveMetrics enableLiveMetricsFilters enablePerformanceCountersCollection "
        "enableStandardMetrics httpAutoCollectionOptions liveMetricsAuthenticationApiKey "
        "liveMetricsInitializationDelay samplingExcludedTypes samplingIncludedTypes "
        "samplingSettings snapshotConfiguration"
    ),
    "logging.applicationInsights.samplingSettings": _keys(
        "evaluationInterval excludedTypes includedTypes initialSamplingPercentage isEnabled "
        "maxSamplingPercentage maxTelemetryItemsPerSecond minSamplingPercentage movingAverageRatio "
        "samplingPercentageDecreaseTimeout samplingPercentageIncreaseTimeout"
    ),
    "logging.console": _keys("formatterName formatterOptions logToStandardErrorThreshold"),
    "extensions": _keys(
        "azureOpenAI cosmosDB dapr eventGrid eventHubs kafka mcp rabbitMQ redis "
        "sendGrid serviceBus signalR sql tables twilio warmup webPubSub"
    ),
    "extensions.blobs": _keys("centralizedPoisonQueue"),
    "extensions.cosmosDB": _keys("connectionMode leaseOptions protocol userAgentSuffix"),
    "extensions.eventHubs": _keys(
        "batchCheckpointFrequency clientRetryOptions customEndpointAddress enableCheckpointing "
        "eventProcessorOptions initialOffsetOptions loadBalancingUpdateInterval maxEventBatchSize "
        "maxWaitTime minEventBatchSize partitionOwnershipExpirationInterval prefetchCount "
        "targetUnprocessedEventThreshold trackLastEnqueuedEventProperties transportType webProxy"
    ),
    "extensions.http": _keys("dynamicThrottlesEnabled enableChunkedRequestBinding"),
    "extensions.serviceBus": _keys(
        "autoComplete autoCompleteMessages batchOptions clientRetryOptions "
        "enableCrossEntityTransactions maxAutoLockRenewalDuration maxBatchWaitTime "
        "maxConcurrentCalls maxConcurrentCallsPerSession maxConcurrentSessions maxMessageBatchSize "
        "messageHandlerOptions minMessageBatchSize prefetchCount sessionHandlerOptions "
        "sessionIdleTimeout transportType webProxy"
    ),
    "extensions.durableTask": _keys(
        "appLeaseOptions entityMessageReorderWindowInMinutes grpcHttpClientTimeout "
        "localRpcEndpointEnabled maxGrpcMessageSizeInBytes notifications "
        "rollbackEntityOperationsOnExceptions "
        "storeInputsInOrchestrationHistory throwStatusExceptionsOnRaiseEvent tracing "
        "useGracefulShutdown versionFailureStrategy versionMatchStrategy"
    ),
    "extensions.durableTask.tracing": _keys(
        "allowReplayEvents distributedTracingEnabled distributedTracingProtocol "
        "traceInputsAndOutputs traceReplayEvents version"
    ),
    _STORAGE_PROVIDER: _keys(
        "allowReplayingTerminalInstances connectionStringName controlQueueBatchSize "
        "controlQueueBufferThreshold createDatabaseIfNotExists "
        "fetchLargeMessagesAutomatically schemaName taskEventBatchSize "
        "taskEventLockTimeout taskHubName trackingStoreConnectionName trackingStoreNamePrefix "
        "trackingStoreConnectionStringName useLegacyPartitionManagement "
        "useTablePartitionManagement workItemQueueVisibilityTimeout"
    ),
}

_ELSEWHERE = {
    "customHandler": "custom handlers are not supported",
    "eventHub": "it is of version 1: use 'extensions.eventHubs'",
    "http": "it is of version 1: use 'extensions.http'",
    "httpWorker": "custom handlers are not supported",
    "queues": "it is of version 1: use 'extensions.queues'",
    "extensions.durableTask.notifications": "life cycle events are not published",
    "serviceBus": "it is of version 1: use 'extensions.serviceBus'",
}
"""Keys whose author should know that nothing comes of them."""


def normalise(tree: dict[str, JsonValue]) -> tuple[dict[str, JsonValue], list[str]]:
    """Give known keys their exact spelling, drop their nulls, and find unknown keys.

    Returns:
        The tree ready for conversion to `HostFile`, and one warning per unknown key.
    """
    warnings: list[str] = []
    return _normalise(tree, HostFile, "", warnings), warnings


def storage_options(tree: JsonValue) -> dict[str, JsonValue]:
    """The section `extensions.durableTask.storageProvider` of a normalised tree, as it stands."""
    for key in _STORAGE_PROVIDER.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def _normalise(
    tree: dict[str, JsonValue],
    section: type[msgspec.Struct] | None,
    path: str,
    warnings: list[str],
) -> dict[str, JsonValue]:
    types = dict(_fields(section)) if section is not None else {}
    spelling = {key.casefold(): key for key in [*types, *_ACCEPTED.get(path, ())]}
    if not path:
        spelling.update({key.casefold(): key for key in _ELSEWHERE if "." not in key})
    result: dict[str, JsonValue] = {}
    for key, value in tree.items():
        known = spelling.get(key.casefold())
        where = f"{path}.{known or key}" if path else known or key
        if known is None:
            warning = _unknown(key, path, where, spelling.values(), is_ours=section is not None)
            if warning:
                warnings.append(warning)
            result[key] = value
        elif value is not None:
            if where in _ELSEWHERE:
                warnings.append(f"host.json: '{where}' has no effect: {_ELSEWHERE[where]}.")
            inner = types.get(known)
            if (inner is not None or where in _ACCEPTED) and isinstance(value, dict):
                value = _normalise(value, inner, where, warnings)
            result[known] = value
    return result


def _fields(section: type[msgspec.Struct]) -> Iterator[tuple[str, type[msgspec.Struct] | None]]:
    """The keys of a section, each with the struct it holds, if it is a section itself."""
    for field in msgspec.structs.fields(section):
        options = [field.type, *get_args(field.type)]
        structs = [t for t in options if isinstance(t, type) and issubclass(t, msgspec.Struct)]
        yield field.encode_name, structs[0] if structs else None


def _unknown(
    key: str, path: str, where: str, known: Collection[str], *, is_ours: bool
) -> str | None:
    near = difflib.get_close_matches(
        key.casefold(), [k.casefold() for k in known], n=1, cutoff=0.75
    )
    if near:
        meant = next(k for k in known if k.casefold() == near[0])
        return f"host.json: unknown key '{where}'. Did you mean '{meant}'?"
    if not is_ours or path in ("extensions", _STORAGE_PROVIDER):
        # Of a section, an extension or a provider that this host reads nothing of, so that it
        # cannot say what else they understand.
        return None
    return f"host.json: unknown key '{where}' is ignored."
