"""The error tree: every exception the host raises on purpose.

FuncPyError
├── UserError                  shown without traceback; names file, function or key
│   ├── ConfigError            host.json / local.settings.json: file, key path, value
│   ├── DiscoveryError         app import or indexing: every problem of the app
│   ├── BindingError           unknown type, bad property, failed conversion
│   ├── ConnectionSettingError a binding's connection is no usable app setting
│   └── FunctionTimeout        a function ran longer than host.json allows
├── DurableError
│   ├── InstanceNotFound / InstanceAlreadyExists / InstanceNotFinished /
│   │   InstanceNotFailed
│   ├── InvalidInstanceId      the id cannot be used
│   ├── FunctionNotRegistered  a start names an orchestrator that nobody has
│   ├── NonDeterminismError    event index, expected, got
│   ├── VersionMismatch        an instance is of a version this host must not run
│   ├── PoisonousWork          it was running whenever the host died
│   ├── TaskHubNotFound        it was not created yet
│   ├── SchemaMismatch         found and required versions of a task hub
│   └── ImportUnfinished       a task hub holds a part of what was imported
├── StorageError
│   ├── StorageUnavailable     transient: the caller may repeat the call
│   ├── LeaseLost              normal when a partition moved to another host
│   └── HistoryChanged         while it was read page by page: read it from its beginning
└── InternalError              our bug; the text asks for a report

A failure of a user's activity or orchestrator is data (`durable.model.FailureDetails`), never one
of these travelling through the engine.
"""

from __future__ import annotations


class FuncPyError(Exception):
    """Root of every exception raised on purpose by the host."""


class UserError(FuncPyError):
    """A mistake in the app, its configuration or the command line. Shown without traceback."""


class ConfigError(UserError):
    """A configuration file or setting has an unusable value."""

    def __init__(self, file: str, path: str, problem: str, hint: str = "") -> None:
        self.file = file
        self.path = path
        self.problem = problem
        self.hint = hint
        where = f"{file}: {path}: " if path else f"{file}: "
        super().__init__(where + problem + (f"\n  {hint}" if hint else ""))


class DiscoveryError(UserError):
    """The app cannot be loaded. `problems` lists every reason, each a complete text."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n\n".join(problems))


class BindingError(UserError):
    """A binding of a function is unusable, or a value could not be converted for it."""

    def __init__(self, function: str, binding: str, problem: str) -> None:
        self.function = function
        self.binding = binding
        self.problem = problem
        super().__init__(f"function '{function}', binding '{binding}': {problem}")


class ConnectionSettingError(UserError):
    """The connection that a binding names is no usable app setting."""

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        self.problem = problem
        super().__init__(
            f"The connection '{name}' cannot be used: {problem}. For the emulator, set it to "
            "UseDevelopmentStorage=true in local.settings.json, and start `func-py azurite`."
        )


class FunctionTimeout(UserError):
    """An invocation took longer than `functionTimeout`; `limit` is that, as host.json writes it.

    `runs_on`: the code is in a thread, which nothing can stop.
    """

    def __init__(self, function: str, limit: str, *, runs_on: bool) -> None:
        self.function = function
        self.limit = limit
        self.runs_on = runs_on
        text = f"function '{function}' exceeded the functionTimeout of {limit}"
        if runs_on:
            text += (
                ". It is no 'async def': its thread cannot be stopped and is left alone. What it "
                "does from now on is not waited for, and its result is dropped"
            )
        super().__init__(text + ".")


class DurableError(FuncPyError):
    """A durable operation cannot be carried out."""


class InstanceNotFound(DurableError):
    """No instance has this id."""

    def __init__(self, instance_id: str) -> None:
        self.instance_id = instance_id
        super().__init__(f"No instance with ID '{instance_id}' was found.")


class InstanceAlreadyExists(DurableError):
    """An instance with this id is in a state that the reuse policy protects."""

    def __init__(self, instance_id: str, status: str) -> None:
        self.instance_id = instance_id
        self.status = status
        super().__init__(f"An Orchestration instance with the status {status} already exists.")


class InstanceNotFinished(DurableError):
    """The operation needs a finished instance."""

    def __init__(self, instance_id: str, status: str) -> None:
        self.instance_id = instance_id
        self.status = status
        super().__init__(f"The instance '{instance_id}' is in the {status} state, not finished.")


class InstanceNotFailed(DurableError):
    """Only a failed orchestration can be rewound."""

    def __init__(self, instance_id: str, status: str) -> None:
        self.instance_id = instance_id
        self.status = status
        super().__init__(
            "The rewind operation is only supported on failed orchestration instances."
        )


class InvalidInstanceId(DurableError):
    """The text cannot be an instance id."""

    def __init__(self, instance_id: str, problem: str) -> None:
        self.instance_id = instance_id
        super().__init__(problem)


class FunctionNotRegistered(DurableError):
    """No function of this kind has this name. `kind`: orchestrator, activity or entity."""

    def __init__(self, kind: str, name: str, known: list[str], near: str | None = None) -> None:
        self.kind = kind
        self.name = name
        self.known = known
        self.near = near
        article = "a" if kind[:1] not in "aeiou" else "an"
        if known:
            names = ", ".join(f"'{n}'" for n in known)
            info = f"The following are the known {kind} functions: {names}."
        else:
            info = f"No {kind} functions are currently registered!"
        hint = f" Did you mean '{near}'?" if near else ""
        super().__init__(
            f"The function '{name}' doesn't exist, is disabled, or is not {article} {kind} "
            f"function.{hint} Additional info: {info}"
        )


class NonDeterminismError(DurableError):
    """Replay asked for something else than history records; fails the instance.

    `index` counts history events from 0; `location` is `file:line` of the yield, when known.
    """

    def __init__(self, index: int, expected: str, got: str, location: str = "") -> None:
        self.index = index
        self.expected = expected
        self.got = got
        self.location = location
        at = f" (at {location})" if location else ""
        super().__init__(
            f"Non-Deterministic workflow detected: history event {index} says {expected}, but the "
            f"code now asked for {got}{at}. Was the orchestrator changed after this instance had "
            "started, or does it read the clock, random numbers or other outside state directly?"
        )


class TaskHubNotFound(DurableError):
    """The task hub was not created yet."""

    def __init__(self, location: str) -> None:
        self.location = location
        super().__init__(
            f"There is no task hub at {location} yet. `func-py start` makes it when the app has "
            "durable functions."
        )


class SchemaMismatch(DurableError):
    """The task hub was written by a version of the host that this one cannot work with."""

    def __init__(self, location: str, found: str, required: str) -> None:
        self.location = location
        self.found = found
        self.required = required
        super().__init__(
            f"The task hub at {location} has {found}, this host needs {required}. "
            "Use the matching version, or another hubName."
        )


class ImportUnfinished(DurableError):
    """The task hub was to be imported from a file, and that did not come to its end."""

    def __init__(self, location: str, file: str) -> None:
        self.location = location
        self.file = file
        super().__init__(
            f"The task hub at {location} holds only a part of {file}: the import was interrupted, "
            "or is under way. Delete the hub with `func-py hub delete`, and import again."
        )


class VersionMismatch(DurableError):
    """The instance has a version that this host is not to run; fails it."""


class PoisonousWork(DurableError):
    """A turn or an activity call was in hand each time the host died; it is not run again.

    `what`: the work, in words for people.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"{what} was running each of the last three times the host process died, so it is not "
            "run again. Look for a crash in native code, os._exit or memory that runs out."
        )


class StorageError(FuncPyError):
    """The storage provider could not do what was asked."""


class StorageUnavailable(StorageError):
    """The store did not answer, or refused for a transient reason. The call may be repeated."""


class LeaseLost(StorageError):
    """The partition is no longer ours: another host took it, or we gave it up."""

    def __init__(self, partition: int, epoch: int) -> None:
        self.partition = partition
        self.epoch = epoch
        super().__init__(f"partition {partition} is no longer held under epoch {epoch}")


class HistoryChanged(StorageError):
    """The history that was being read is not the instance's any more."""

    def __init__(self, instance_id: str) -> None:
        self.instance_id = instance_id
        super().__init__(f"the history of instance '{instance_id}' changed while it was read")


class InternalError(FuncPyError):
    """A bug of the host. Please report it with the text and the log."""
