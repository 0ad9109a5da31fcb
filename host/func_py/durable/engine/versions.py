"""Which instances this host may run, by their version.

Source: the official extension's `versionMatchStrategy` and `versionFailureStrategy`.
"""

from __future__ import annotations

import re
from enum import StrEnum

_PART = re.compile(r"[.\-+_]")


class VersionMatch(StrEnum):
    """Instances that may run here, compared with the host's default version."""

    NONE = "None"
    STRICT = "Strict"
    CURRENT_OR_OLDER = "CurrentOrOlder"


class VersionFailure(StrEnum):
    """What becomes of the others: left for another host, or failed."""

    REJECT = "Reject"
    FAIL = "Fail"


def compare_versions(one: str, other: str) -> int:
    """Negative, zero or positive as `one` is older than, the same as, or newer than `other`.

    Blank is older than anything. Parts between dots compare as numbers where both are, otherwise as
    text, case ignored; missing parts count as 0.
    """
    if not one.strip() or not other.strip():
        return bool(one.strip()) - bool(other.strip())
    left, right = _PART.split(one.strip()), _PART.split(other.strip())
    for i in range(max(len(left), len(right))):
        a = left[i] if i < len(left) else "0"
        b = right[i] if i < len(right) else "0"
        if a.isdecimal() and b.isdecimal():
            difference = int(a) - int(b)
        else:
            difference = (a.casefold() > b.casefold()) - (a.casefold() < b.casefold())
        if difference:
            return difference
    return 0


def version_problem(match: VersionMatch, instance: str | None, host: str | None) -> str | None:
    """Why an instance of this version may not run here, or None.

    Without a default version of its own the host runs everything.
    """
    if match is VersionMatch.NONE or host is None:
        return None
    difference = compare_versions(instance or "", host)
    if match is VersionMatch.STRICT and difference:
        return f"The orchestration version '{instance or ''}' does not match the host's '{host}'."
    if match is VersionMatch.CURRENT_OR_OLDER and difference > 0:
        return f"The orchestration version '{instance or ''}' is greater than the host's '{host}'."
    return None
