"""The Dockerfile of a packed app: the layout and the settings of the official images."""

from __future__ import annotations

SITE = "/home/site/wwwroot"
STATE = "/home/state"
_USER = 10001
"""A number, because platforms that forbid root cannot look names up."""

_TEMPLATE = """\
# Made by `func-py pack`; the next pack writes it anew.
ARG PYTHON={python}

FROM python:${{PYTHON}}-slim AS build
WORKDIR /build
RUN python3 -m venv /opt/func-py
COPY *.txt {wheel} ./
# A package index of your own: they are known to this stage alone.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
RUN {install}

FROM python:${{PYTHON}}-slim
{libraries}RUN useradd --uid {user} --home-dir /home --no-create-home app \\
    && install -d {site} && install -d -o {user} -g {user} {state}
COPY --from=build /opt/func-py /opt/func-py
COPY site {site}
ENV PATH=/opt/func-py/bin:/usr/local/bin:/usr/bin:/bin
ENV HOME=/home
ENV LANG=C.UTF-8
ENV PYTHONUNBUFFERED=1
ENV DOTNET_RUNNING_IN_CONTAINER=true
ENV FUNCTIONS_WORKER_RUNTIME=python
ENV AZURE_FUNCTIONS_ENVIRONMENT=Production
ENV AzureWebJobsScriptRoot={site}
ENV PORT=80
ENV FUNC_PY_STATE_DIR={state}
ENV FUNC_PY_SECRETS_DIR=/run/secrets
WORKDIR {site}
USER {user}
VOLUME {state}
EXPOSE 80
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python3", "-c", "{probe}"]
CMD ["func-py", "start"]
"""

_PIP = "/opt/func-py/bin/pip install --no-cache-dir"
_LIBRARIES = """\
RUN apt-get update \\
    && apt-get install --yes --no-install-recommends libltdl7 libgssapi-krb5-2 \\
    && rm -rf /var/lib/apt/lists/*
"""
"""What the driver for SQL Server needs and slim images do not have."""

_PROBE = (
    "import os, re, urllib.request as r; "
    "ports = re.findall(':([0-9]+)', os.environ.get('ASPNETCORE_URLS', '')); "
    "ports.append(os.environ['PORT']); "
    "r.urlopen('http://127.0.0.1:' + ports[0] + '/admin/health/live', timeout=4)"
)

IGNORE = "**/__pycache__\n**/local.settings.json\n**/.func-py\n"
"""The `.dockerignore` beside it."""


def dockerfile(*, wheel: str, extras: tuple[str, ...], python: str, are_hashed: bool) -> str:
    """The whole file.

    Args:
        wheel: Name of the host's wheel in the build context.
        extras: Of that wheel, to be installed with it.
        python: Version of Python, `3.12`.
        are_hashed: Whether pip demands hashes of all that is installed with the requirements. The
            host has none, so it then comes after them.
    """
    host = f"'./{wheel}[{','.join(extras)}]'" if extras else f"./{wheel}"
    install = f"{_PIP} {host} -r requirements.txt"
    if are_hashed:
        install = f"{_PIP} -r requirements.txt \\\n    && {_PIP} {host}"
    return _TEMPLATE.format(
        python=python,
        wheel=wheel,
        install=install,
        libraries=_LIBRARIES if "mssql" in extras else "",
        user=_USER,
        site=SITE,
        state=STATE,
        probe=_PROBE,
    )
