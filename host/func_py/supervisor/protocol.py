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
class Ready:
    """Child to supervisor: the app is loaded and requests are being accepted."""

    functions: tuple[FunctionLine, ...]
    facts: tuple[str, ...]
    """What else to show, a line each: the task hub, where logs go, the address."""
    drain_s: float
    """How long the child may take to finish running work when it is told to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Child to supervisor: the app cannot be run, this is why; the child ends now."""

    message: str
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Supervisor to child: accept nothing more, finish what runs within the drain time, end."""


Report = Ready | Failed
