"""The typed form of host.json: what this host reads of it, its keys in snake case."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from func_py.config.jsonc import JsonValue
from func_py.config.timespan import TimeSpan

PositiveInt = Annotated[int, Meta(ge=1)]
Limit = Annotated[int, Meta(ge=-1)]
"""-1 means: as many as come."""


class _Section(Struct, frozen=True, kw_only=True, rename="camel"):
    """A section of host.json; every key is optional."""


class HstsSettings(_Section, frozen=True):
    """`extensions.http.hsts`."""

    is_enabled: bool = False
    max_age: TimeSpan = TimeSpan(days=30)
    include_sub_domains: bool = False
    preload: bool = False
    excluded_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")


class HttpSettings(_Section, frozen=True):
    """`extensions.http`."""

    route_prefix: str = "api"
    max_outstanding_requests: Limit = -1
    """Requests running and waiting at most."""
    max_concurrent_requests: Limit = -1
    """Requests running at most; the others wait."""
    custom_headers: dict[str, str] = {}
    """Added to every response that does not have them."""
    hsts: HstsSettings = HstsSettings()


class StorageProviderSettings(_Section, frozen=True):
    """`extensions.durableTask.storageProvider`."""

    type: str = ""
    path: str = ""
    """Directory of the embedded task hub; relative to the app root."""
    partition_count: Annotated[int, Meta(ge=1, le=16)] = 4
    connection_name: str = ""
    """App setting with the connection string of Azure Storage."""
    connection_string_name: str = ""
    """App setting with the connection string of a database."""
    schema_name: str = ""
    max_queue_polling_interval: TimeSpan | None = None
    control_queue_visibility_timeout: TimeSpan | None = None
    """Of Azure Storage, as the one before."""
    lease_time: TimeSpan | None = None
    """How long other hosts wait for a sign of life of this one (not on the embedded hub)."""


class DurableHttpSettings(_Section, frozen=True):
    """`extensions.durableTask.httpSettings`."""

    default_async_request_sleep_time_milliseconds: PositiveInt = 30_000
    """Between polls of a durable HTTP call whose server does not say when to come again."""


class DurableSettings(_Section, frozen=True):
    """`extensions.durableTask`."""

    hub_name: str = ""
    use_app_lease: bool = True
    """On Azure Storage: only the hosts of one app work on a hub."""
    storage_provider: StorageProviderSettings = StorageProviderSettings()
    max_concurrent_activity_functions: PositiveInt | None = None
    max_concurrent_orchestrator_functions: PositiveInt | None = None
    max_concurrent_entity_functions: PositiveInt | None = None
    max_entity_operation_batch_size: PositiveInt | None = None
    max_orchestration_actions: PositiveInt | None = None
    http_settings: DurableHttpSettings = DurableHttpSettings()
    extended_sessions_enabled: bool = True
    """Accepted without effect: live sessions are always on."""
    extended_session_idle_timeout_in_seconds: PositiveInt = 30
    overridable_existing_instance_states: Literal["NonRunningStates", "AnyState"] = (
        "NonRunningStates"
    )
    default_version: str = ""
    version_match_strategy: Literal["None", "Strict", "CurrentOrOlder"] = "CurrentOrOlder"
    version_failure_strategy: Literal["Reject", "Fail"] = "Reject"


class FuncPySettings(_Section, frozen=True):
    """`extensions.funcPy`: every setting that the official host does not have."""

    drain_timeout: TimeSpan = TimeSpan(seconds=10)
    """How long a stopping host waits for running requests and activities."""
    log_file: str = ""
    """Where the log is written besides the terminal; relative to the app root."""
    payload_limit: PositiveInt = 64 * 1024
    """Characters of an input or result that may wait in memory; longer ones wait in the task hub
    alone."""


class QueueSettings(_Section, frozen=True):
    """`extensions.queues`: how queue triggers look for messages."""

    batch_size: Annotated[int, Meta(ge=1, le=32)] = 16
    """Messages asked for at once."""
    new_batch_threshold: Annotated[int, Meta(ge=0)] | None = None
    """More are asked for when no more than so many are being worked on; None: half a batch for
    each processor."""
    max_dequeue_count: PositiveInt = 5
    """Times a message is tried before it goes to the poison queue."""
    max_polling_interval: TimeSpan | None = None
    """Between two looks into an empty queue; None: a minute, in development two seconds."""
    visibility_timeout: TimeSpan = TimeSpan()
    """How long a message whose function failed stays hidden."""
    message_encoding: str = "base64"
    """`base64` or `none`, in any case."""


class BlobSettings(_Section, frozen=True):
    """`extensions.blobs`: how blob functions are called."""

    max_degree_of_parallelism: PositiveInt | None = None
    """Blobs worked on at once; None: eight for each processor."""
    poison_blob_threshold: PositiveInt = 5
    """Times a blob is tried before its message goes to the poison queue."""


class Extensions(_Section, frozen=True):
    """`extensions`."""

    http: HttpSettings = HttpSettings()
    durable_task: DurableSettings = DurableSettings()
    func_py: FuncPySettings = FuncPySettings()
    queues: QueueSettings = QueueSettings()
    blobs: BlobSettings = BlobSettings()


class ConsoleSettings(_Section, frozen=True):
    """`logging.console`."""

    is_enabled: bool = True
    disable_colors: bool = False


class LoggingSettings(_Section, frozen=True):
    """`logging`."""

    log_level: dict[str, str] = {}
    """Category, or `default` → one of `LOG_LEVELS`."""
    console: ConsoleSettings = ConsoleSettings()


class RetrySettings(_Section, frozen=True):
    """`retry`: how failed invocations of an app's functions are repeated."""

    strategy: Literal["fixedDelay", "exponentialBackoff"]
    max_retry_count: Limit
    """Repetitions after the first try; -1 repeats for ever."""
    delay_interval: TimeSpan | None = None
    """Between two tries; set for `fixedDelay`."""
    minimum_interval: TimeSpan | None = None
    """Before the first repetition; set for `exponentialBackoff`."""
    maximum_interval: TimeSpan | None = None
    """Between two tries at most; set for `exponentialBackoff`."""


class HostFile(_Section, frozen=True):
    """The whole file."""

    version: str = ""
    function_timeout: TimeSpan | None = None
    functions: tuple[str, ...] = ()
    """The only functions to load; empty: all."""
    telemetry_mode: str = ""
    """`OpenTelemetry`: the host exports spans; anything else: it does not."""
    retry: RetrySettings | None = None
    file_watching_enabled: bool = True
    watch_directories: tuple[str, ...] = ()
    watch_files: tuple[str, ...] = ()
    logging: LoggingSettings = LoggingSettings()
    extensions: Extensions = Extensions()


LOG_LEVELS = ("Trace", "Debug", "Information", "Warning", "Error", "Critical", "None")


class HostConfig(Struct, frozen=True, kw_only=True):
    """A host.json with overrides applied, `%NAME%` resolved and defaults filled in."""

    root: Path
    """The app root, absolute."""
    state_dir: Path
    """Where the embedded task hub and the keys live, absolute; may not exist yet."""
    http: HttpSettings
    durable: DurableSettings
    """`hub_name` is never empty."""
    storage_options: dict[str, JsonValue]
    """The whole `storageProvider` section, for keys that only the provider knows."""
    app_settings: Mapping[str, str]
    """The app's environment, local settings merged in: where connection strings are."""
    func_py: FuncPySettings
    queues: QueueSettings
    blobs: BlobSettings
    logging: LoggingSettings
    function_timeout: timedelta | None
    """How long an invocation may take; None: as long as it needs."""
    retry: RetrySettings | None
    functions: tuple[str, ...]
    file_watching_enabled: bool
    """Whether changes of files reload the app, where that is on."""
    watch_directories: tuple[str, ...]
    """Folders at the top of the root, all of whose files count for that."""
    watch_files: tuple[str, ...]
    """File names that count for that, besides those that always do."""
    telemetry_mode: str
    warnings: tuple[str, ...]
    """What to tell the user, one line each."""
