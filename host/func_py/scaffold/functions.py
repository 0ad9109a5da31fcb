"""Adds a function from a template to a file of an app, or makes the file."""

from __future__ import annotations

import ast
import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from func_py.errors import InternalError, UserError
from func_py.scaffold.source import DURABLE_SDK, FUNCTIONS_SDK, Source, read_source
from func_py.scaffold.templates import AuthLevel, Template, fill

ENTRY_FILE = "function_app.py"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
_ALIASES = {FUNCTIONS_SDK: "func", DURABLE_SDK: "df"}
_REQUIREMENT = "azure-functions-durable"


@dataclass(frozen=True, slots=True)
class Added:
    """What was done besides adding the function; one line each, for people."""

    notes: tuple[str, ...]


def add_function(
    folder: Path, template: Template, name: str, level: AuthLevel, file: str = ENTRY_FILE
) -> Added:
    """Add a function; a file that exists only grows, and stays valid Python.

    Args:
        folder: The app root.
        template: What to add.
        name: Name of the function.
        level: Who may call it, where the template is about HTTP.
        file: The entry module, or a file with a blueprint; made when it does not exist.

    Raises:
        UserError: The name or file cannot be used; nothing is changed.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name.lower() == "host":
        raise UserError(
            f"'{name}' is not a valid function name: it must be a Python name of ASCII letters, "
            "digits and underscores that begins with a letter."
        )
    path = folder / file
    if path.suffix != ".py" or path.parent != folder:
        raise UserError(f"'{file}' is no name of a Python file in the app's folder.")
    notes: list[str] = []
    try:
        if path.exists():
            with path.open(encoding="utf-8-sig", newline="") as stream:
                text = stream.read()
        else:
            text = _new_file(template, is_entry=file == ENTRY_FILE)
            if file != ENTRY_FILE:
                notes += _how_to_register(path.stem)
        is_crlf = "\r\n" in text
        text = _grown(text.replace("\r\n", "\n"), template, name, level, file, notes)
        _replace(path, text.replace("\n", "\r\n") if is_crlf else text)
        if template.is_durable:
            _require_durable(folder / "requirements.txt", notes)
    except OSError as exc:
        raise UserError(f"{exc.filename}: cannot be read or written: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise UserError(f"{file}: is not UTF-8 text.") from exc
    return Added(tuple(notes))


def _grown(
    text: str, template: Template, name: str, level: AuthLevel, file: str, notes: list[str]
) -> str:
    source = read_source(text, file)
    for defined in template.defines:
        new = fill(defined, {"NAME": name})
        if new in source.names:
            raise UserError(f"{file}: the name '{new}' is taken already.")
    imports, modules = _imports(source, template, file)
    if template.is_durable and not source.register.is_durable:
        text = _made_durable(source, modules[DURABLE_SDK], file)
        notes.append(f"{file}: '{source.register.variable}' is a DFApp now.")
    code = fill(
        template.code,
        {
            "NAME": name,
            "APP": source.register.variable,
            "FUNC": modules[FUNCTIONS_SDK],
            "DF": modules.get(DURABLE_SDK, ""),
            "LEVEL": level.upper(),
        },
    )
    lines = text.splitlines(keepends=True)
    lines[source.imports_end : source.imports_end] = imports
    grown = "".join(lines).rstrip("\n") + "\n\n\n" + code
    try:
        ast.parse(grown)
    except SyntaxError as exc:
        raise InternalError(f"{file} would not be Python any more: {exc}") from exc
    return grown


def _imports(source: Source, template: Template, file: str) -> tuple[list[str], dict[str, str]]:
    """Import lines to add, and what the SDKs are called then."""
    lines = [f"import {name}\n" for name in template.modules if name not in source.names]
    modules = dict(source.modules)
    for module in (FUNCTIONS_SDK, DURABLE_SDK) if template.is_durable else (FUNCTIONS_SDK,):
        if module in modules:
            continue
        alias = _ALIASES[module]
        if alias in source.names:
            raise UserError(
                f"{file}: the name '{alias}' is taken already; import {module} under another one."
            )
        lines.append(f"import {module} as {alias}\n")
        modules[module] = alias
    return lines, modules


def _made_durable(source: Source, alias: str, file: str) -> str:
    """The text with `DFApp` instead of `FunctionApp`; the one takes what the other takes."""
    register = source.register
    call = register.call
    takes_the_same = not call.args and all(k.arg == "http_auth_level" for k in call.keywords)
    if register.kind != "FunctionApp" or not takes_the_same:
        raise UserError(
            f"{file}:{call.lineno}: '{register.variable}' is no durable app. Make it a DFApp, or "
            "name a file for a blueprint with --file."
        )
    lines = source.text.splitlines(keepends=True)
    callee = call.func
    assert callee.end_lineno is not None
    assert callee.end_col_offset is not None
    first = lines[callee.lineno - 1].encode()[: callee.col_offset].decode()
    last = lines[callee.end_lineno - 1].encode()[callee.end_col_offset :].decode()
    lines[callee.lineno - 1 : callee.end_lineno] = [f"{first}{alias}.DFApp{last}"]
    return "".join(lines)


def _new_file(template: Template, *, is_entry: bool) -> str:
    sdk = "df" if template.is_durable else "func"
    if not is_entry:
        register = f"bp = {sdk}.Blueprint()"
    else:
        app = "DFApp" if template.is_durable else "FunctionApp"
        register = f"app = {sdk}.{app}(http_auth_level=func.AuthLevel.FUNCTION)"
    imports = ["import azure.functions as func"]
    if template.is_durable:
        imports.append("import azure.durable_functions as df")
    return "\n".join([*imports, "", register, ""])


def _how_to_register(module: str) -> list[str]:
    return [
        f"Register the blueprint in {ENTRY_FILE}, below the app:",
        f"    from {module} import bp",
        "    app.register_functions(bp)",
    ]


def _require_durable(path: Path, notes: list[str]) -> None:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    names = (re.split(r"[^A-Za-z0-9_.-]", line.strip())[0] for line in text.splitlines())
    if _REQUIREMENT in (re.sub(r"[-_.]+", "-", name).lower() for name in names):
        return
    separator = "" if not text or text.endswith("\n") else "\n"
    _replace(path, f"{text}{separator}{_REQUIREMENT}\n")
    notes.append(f"{path.name}: added {_REQUIREMENT}.")


def _replace(path: Path, text: str) -> None:
    """Write a file so that a failure half-way leaves the old one."""
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
    if path.exists():
        draft.chmod(path.stat().st_mode)
    draft.replace(path)
