"""`AzureFunctionsJobHost__a__b` variables: the environment's word on leaves of host.json."""

from __future__ import annotations

import re
from collections.abc import Mapping

from func_py.config.jsonc import JsonValue

_PREFIX = re.compile(r"azurefunctionsjobhost(?:__|:)(?P<path>.+)", re.IGNORECASE)


def apply_overrides(tree: dict[str, JsonValue], environ: Mapping[str, str]) -> dict[str, str]:
    """Set every overridden leaf in `tree`, in place; keys match in any case.

    Returns:
        Path in the tree (`extensions.http.routePrefix`) → name of the variable that set it.
    """
    applied = {}
    for name in sorted(environ):
        match = _PREFIX.fullmatch(name)
        if match:
            path = _set(tree, re.split("__|:", match["path"]), environ[name])
            applied[path] = name
    return applied


def _set(tree: dict[str, JsonValue], keys: list[str], value: str) -> str:
    node: JsonValue = tree
    path = ""
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        # What a step leads to when nothing usable is there: a list when the next key is an index.
        fresh: JsonValue = value if last else [] if keys[depth + 1].isdigit() else {}
        if isinstance(node, list):
            index = min(int(key), len(node)) if key.isdigit() else len(node)
            if index == len(node):
                node.append(fresh)
            elif last or not isinstance(node[index], (dict, list)):
                node[index] = fresh
            node = node[index]
            path += f"[{index}]"
        elif isinstance(node, dict):
            name = next((k for k in node if k.casefold() == key.casefold()), key)
            if last or not isinstance(node.get(name), (dict, list)):
                node[name] = fresh
            node = node[name]
            path += f".{name}" if path else name
    return path
