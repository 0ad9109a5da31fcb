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
COPY requirements.txt {wheel} ./
RUN /opt/func-py/bin/pip install --no-cache-dir ./{wheel}{extras} -r requirements.txt

FROM python:${{PYTHON}}-slim
RUN useradd --uid {user} --home-dir /home --no-create-home app \\
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

_PROBE = (
    "import os, urllib.request as r; "
    "r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/admin/health/live', timeout=4)"
)

IGNORE = "**/__pycache__\n**/local.settings.json\n**/.func-py\n"
"""The `.dockerignore` beside it."""


def dockerfile(*, wheel: str, extras: tuple[str, ...], python: str) -> str:
    """The whole file.

    Args:
        wheel: Name of the host's wheel in the build context.
        extras: Of that wheel, to be installed with it.
        python: Version of Python, `3.12`.
    """
    return _TEMPLATE.format(
        python=python,
        wheel=wheel,
        extras=f"[{','.join(extras)}]" if extras else "",
        user=_USER,
        site=SITE,
        state=STATE,
        probe=_PROBE,
    )
