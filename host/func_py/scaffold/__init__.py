"""Starts apps and adds functions to them: writes files for people, and reads none of the host's."""

from func_py.scaffold.functions import Added, add_function
from func_py.scaffold.project import Written, write_project
from func_py.scaffold.templates import TEMPLATES, AuthLevel, Template, find_template

__all__ = [
    "TEMPLATES",
    "Added",
    "AuthLevel",
    "Template",
    "Written",
    "add_function",
    "find_template",
    "write_project",
]
