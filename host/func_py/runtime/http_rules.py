"""Wires what applies to every request and response: CORS, limits, added headers."""

from __future__ import annotations

import json
from collections.abc import Mapping

from func_py.config.settings import HttpSettings
from func_py.errors import ConfigError
from func_py.supervisor.protocol import ChildSpec
from func_py.web.cors import Cors
from func_py.web.extra_headers import Decorator, custom_headers, strict_transport
from func_py.web.front_end import Wrapper
from func_py.web.limits import RequestLimits

_ORIGINS = "CORS_ALLOWED_ORIGINS"
_CREDENTIALS = "CORS_SUPPORT_CREDENTIALS"


def cors_policy(spec: ChildSpec) -> Cors | None:
    """What the command line or local settings say, or else the environment, as in containers.

    Raises:
        UserError: The origins cannot be read, or do not go with credentials.
    """
    if spec.cors:
        return Cors(spec.cors, credentials=spec.cors_credentials)
    origins = _origins(spec.environ)
    if not origins:
        return None
    return Cors(origins, credentials=spec.environ.get(_CREDENTIALS, "").casefold() == "true")


def wrappers(http: HttpSettings, cors: Cors | None) -> list[Wrapper]:
    """What is put around the front end, inmost first."""
    result: list[Wrapper] = []
    if http.max_outstanding_requests > 0 or http.max_concurrent_requests > 0:
        limits = RequestLimits(http.max_outstanding_requests, http.max_concurrent_requests)
        result.append(limits.around)
    if cors is not None:
        result.append(cors.around)
    return result


def decorators(http: HttpSettings, cors: Cors | None) -> list[Decorator]:
    """What is done to every response."""
    result: list[Decorator] = []
    if http.custom_headers:
        result.append(custom_headers(http.custom_headers))
    if http.hsts.is_enabled:
        result.append(
            strict_transport(
                http.hsts.max_age,
                include_sub_domains=http.hsts.include_sub_domains,
                preload=http.hsts.preload,
                excluded_hosts=http.hsts.excluded_hosts,
            )
        )
    if cors is not None:
        result.append(cors.decorate)
    return result


def _origins(environ: Mapping[str, str]) -> list[str]:
    text = environ.get(_ORIGINS, "")
    if not text:
        return []
    try:
        origins = json.loads(text)
    except ValueError:
        origins = None
    if not isinstance(origins, list) or not all(isinstance(o, str) for o in origins):
        raise ConfigError(
            f"environment variable {_ORIGINS}", "", f"expected a JSON list of texts, found {text}"
        )
    return [origin.rstrip("/") for origin in origins]
