"""What a Dockerfile says, as far as those of `func-py pack` go."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: `RUN`, and what stands behind it, on one line."""

    instruction: str
    text: str


@dataclass(slots=True)
class Stage:
    """One `FROM` and the instructions below it."""

    base: str
    name: str = ""
    steps: list[Step] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """The texts of all steps with this instruction."""
        return [step.text for step in self.steps if step.instruction == instruction]

    def last(self, instruction: str) -> str:
        """The text of the last step with this instruction."""
        return self.all(instruction)[-1]

    @property
    def environ(self) -> dict[str, str]:
        """What `ENV` sets, one variable in each."""
        return dict(text.split("=", 1) for text in self.all("ENV"))

    @property
    def command(self) -> list[str]:
        """What a container of it runs."""
        words: list[str] = json.loads(self.last("CMD"))
        return words

    @property
    def health_check(self) -> list[str]:
        """What is run in a container now and then to see whether it is well."""
        words: list[str] = json.loads(self.last("HEALTHCHECK").partition(" CMD ")[2])
        return words


def read_dockerfile(path: Path) -> list[Stage]:
    """The stages, in order; `ARG`s before the first one are filled in."""
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        line = " ".join(line.split()) if not line.startswith(("HEALTHCHECK", "CMD")) else line
        if not line or line.startswith("#"):
            continue
        instruction, _, text = line.partition(" ")
        for name, value in arguments.items():
            text = text.replace(f"${{{name}}}", value)
        if instruction == "ARG":
            name, _, value = text.partition("=")
            arguments[name] = value
        elif instruction == "FROM":
            base, _, name = text.partition(" AS ")
            stages.append(Stage(base, name))
        else:
            stages[-1].steps.append(Step(instruction, text))
    return stages
