"""What the supervisor and a child say to each other over their channel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """Everything a child needs to know at its start."""

    app_root: Path
    environ: dict[str, str]
    """The whole environment of the app; replaces the one the process was born with."""
    base_url: str
    """How clients reach the host: `http://localhost:7071`, no slash at the end."""
    verbose: bool = False
    enable_auth: bool = False
    functions: tuple[str, ...] = ()
    """The only functions to load; empty: what host.json says."""
    user_log_level: str = ""
    """Level of what functions log, unless host.json has one; empty: the default."""
    cors: tuple[str, ...] = ()
    """Origins whose pages may call the host; empty: what the environment says."""
    cors_credentials: bool = False
    reloads: bool = False
    """Other code may take the place of this: live instances that do not fit it wait for that."""
    terminal: str = ""
    """The terminal that the process has for a debugger while it serves; empty: none."""
    announces: bool = True
    """It says what there is to say of the app; of several workers one does."""
    is_alone: bool = False
    """Nobody else serves: it has the terminal from the beginning."""
    debugpy_port: int = 0
    """Where editors attach while it serves; 0: nowhere."""
    apology: str = ""
    """Load no app; answer each request with 503 and this text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionLine:
    """A function as the start-up print shows it."""

    name: str
    trigger: str
    """The binding type, `httpTrigger`."""
    methods: tuple[str, ...] = ()
    url: str = ""
    """Empty unless it is an HTTP function."""
    is_disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRules:
    """What host.json says about the files whose changes reload the app."""

    is_enabled: bool = True
    directories: tuple[str, ...] = ()
    """Folders at the top of the app root; whatever changes below them counts."""
    files: tuple[str, ...] = ()
    """File names that count wherever they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Child to supervisor: the app is loaded; nothing is accepted, owned or listened to yet."""

    drain_s: float
    """How long the child may take to finish running work when it hands over or stops."""
    watch: WatchRules = WatchRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Child to supervisor: it has taken over, requests are being accepted."""

    functions: tuple[FunctionLine, ...]
    facts: tuple[str, ...]
    """What else to show, a line each: the task hub, where logs go, the address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """Child to supervisor: it accepts, owns and listens to nothing any more.

    What runs is finished within the drain time; then the child ends.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """Child to supervisor: somebody stands at a breakpoint in it, or does no longer."""

    is_paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Child to supervisor: the app cannot be run, this is why; the child ends now."""

    message: str
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOver:
    """Supervisor to a loaded child: accept, own and listen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """Supervisor to the child that serves: another one is loaded and waits to take over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Supervisor to child: accept nothing more, finish what runs within the drain time, end."""


Report = Loaded | Ready | HandedOver | Paused | Failed
Order = TakeOver | HandOver | Stop
