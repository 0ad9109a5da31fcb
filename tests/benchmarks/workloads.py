"""The durable workloads: what floor and engine both run, and how a run is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from func_py.discovery.apps import load_app
from func_py_bindings.contract import FunctionSpec, user_code

SAMPLE_APP = Path(__file__).parent / "sample_app"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """`runs` instances of one orchestrator, at most `concurrent` of them at a time.

    `steps`: activity calls of one instance; also its input, where it takes one. `rate` names what
    is counted: instances or activities per second. `target`: the rate wanted on a quiet machine
    with two cores, 0 for none.
    """

    title: str
    orchestrator: str
    steps: int
    runs: int = 1
    concurrent: int = 1
    takes_input: bool = True
    rate: str = "activities/s"
    target: float = 0.0

    @property
    def input(self) -> str | None:
        """The stored form of the orchestration's input."""
        return str(self.steps) if self.takes_input else None

    def rate_of(self, elapsed_s: float) -> float:
        """What was done per second."""
        done = self.runs if self.rate == "instances/s" else self.runs * self.steps
        return done / elapsed_s


SEQUENCE = Workload(
    title="sequence of 3, 50 concurrent",
    orchestrator="sequence",
    steps=3,
    runs=1000,
    concurrent=50,
    takes_input=False,
    rate="instances/s",
    target=900,
)
SEQUENCE_PLAIN = Workload(
    title="sequence of 3, plain def activities",
    orchestrator="sequence_plain",
    steps=3,
    runs=1000,
    concurrent=50,
    takes_input=False,
    rate="instances/s",
)
FAN_OUTS = (
    Workload(title="fan-out 1,000", orchestrator="fan_out", steps=1000, runs=3, target=10_000),
    Workload(title="fan-out 5,000", orchestrator="fan_out", steps=5000, target=10_000),
)
FAN_OUT_PLAIN = Workload(
    title="fan-out 5,000, plain def activities", orchestrator="fan_out_plain", steps=5000
)
CHAINS = (
    Workload(title="chain of 100", orchestrator="chain", steps=100, runs=4),
    Workload(title="chain of 300", orchestrator="chain", steps=300, runs=2),
    Workload(title="chain of 1,000", orchestrator="chain", steps=1000, target=1000 / 0.7),
)
WORKLOADS = (SEQUENCE, SEQUENCE_PLAIN, *FAN_OUTS, FAN_OUT_PLAIN, *CHAINS)


def sample_functions() -> list[FunctionSpec]:
    """The sample app's functions, found as the host finds them."""
    return load_app(SAMPLE_APP)


def user_functions(specs: Sequence[FunctionSpec]) -> Mapping[str, Callable[..., Any]]:
    """The functions as the app's author wrote them, by name."""
    return {spec.name: user_code(spec.function) for spec in specs}
