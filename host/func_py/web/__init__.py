"""The web front end: routes, request and response mapping, mounts of other parts of the host."""

from func_py.web.front_end import Authorizer, Handler, HttpFrontEnd, Mount, allow_everyone

__all__ = ["Authorizer", "Handler", "HttpFrontEnd", "Mount", "allow_everyone"]
