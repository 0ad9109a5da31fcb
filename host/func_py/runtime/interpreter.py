"""How a host sets the interpreter it runs in. An app that wants it otherwise says so at import."""

from __future__ import annotations

import gc
import sys

_SWITCH_INTERVAL_S = 0.0005
"""Beside a function that computes in a thread, each hand-over of the interpreter lock waits this
long, and a commit has a dozen of them. Measured there against Python's 5 ms: a sequence of three
activities takes 24 ms instead of 203, an async request 0.1 ms instead of 5.4. Without such a
function nothing is lost; at 0.3 ms a wide fan-out loses a tenth to the switching."""

_YOUNG_OBJECTS = 5_000
"""Objects made and not freed that bring about a collection. With Python's 700 there is one every
eight orchestrations, which finds little."""


def settle_interpreter() -> None:
    """Set what a process of the host wants, after its imports and before the app's."""
    # What was imported lives as long as the process, so no collection need go through it: a full
    # one took 8 ms for that, with all else at rest.
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
