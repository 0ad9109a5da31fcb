"""The rules: what an orchestrator must not do, and what to do in its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of mistake. `id` is what `# func-py: ignore[…]` names."""

    id: str
    problem: str
    """Completes "`<code>` …"."""
    instead: str
    """The replay-safe way, a sentence."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that breaks replay."""

    path: Path
    line: int
    """From 1, as is `column`."""
    column: int
    rule: Rule
    code: str
    """What stands there: `datetime.datetime.now()`."""
    function: str
    """The function around it."""
    orchestrator: str
    """The durable name of the first orchestrator from which it is reached."""
    hint: str = ""
    """What to do here, where that is more than the rule can say."""

    @property
    def message(self) -> str:
        """What is wrong and what to do, without the place."""
        where = f"orchestrator '{self.orchestrator}'"
        if self.function != self.orchestrator:
            where = f"'{self.function}', called by {where}"
        return f"in {where}: `{self.code}` {self.rule.problem}. {self.hint or self.rule.instead}"

    @property
    def text(self) -> str:
        """The whole finding on one line, beginning with `file:line`."""
        return f"{self.path}:{self.line}: {self.message} [{self.rule.id}]"


CLOCK = Rule(
    "replay-clock",
    "gives another time when the orchestrator is replayed",
    "Use context.current_utc_datetime.",
)
RANDOM = Rule(
    "replay-random",
    "gives another value when the orchestrator is replayed",
    "Draw it in an activity, or from random.Random(context.instance_id).",
)
UUID = Rule(
    "replay-uuid",
    "gives another id when the orchestrator is replayed",
    "Use context.new_uuid().",
)
ENVIRONMENT = Rule(
    "replay-environment",
    "may give another value where or when the orchestrator is replayed",
    "Pass the value in the input, or read it in an activity.",
)
IO = Rule(
    "replay-io",
    "touches the outside world each time the orchestrator is replayed",
    "Do it in an activity.",
)
NETWORK = Rule(
    "replay-network",
    "calls a server each time the orchestrator is replayed, and blocks all others meanwhile",
    "Use `yield context.call_http(…)`, or an activity.",
)
SLEEP = Rule(
    "replay-sleep",
    "blocks every orchestration of the host, and does so again at each replay",
    "Use `yield context.create_timer(context.current_utc_datetime + timedelta(…))`.",
)
THREAD = Rule(
    "replay-thread",
    "runs beside the orchestrator, where no replay can follow",
    "Run activities together with `yield context.task_all([…])`.",
)
AWAIT = Rule(
    "replay-await",
    "makes the orchestrator wait for something that history does not know",
    "Orchestrators are plain generators: `yield` a task of the context; await in an activity.",
)
SET_ORDER = Rule(
    "replay-set-order",
    "goes through a set, whose order differs between processes",
    "Go through sorted(…), or a list or dict.",
)
TASK_NOT_YIELDED = Rule(
    "task-not-yielded",
    "makes a task that is never yielded, so it never runs",
    "Write `yield` before it; to start several, yield context.task_all([…]).",
)
YIELD_FROM = Rule(
    "missing-yield-from",
    "calls a generator without running it: nothing of it happens",
    "Write `yield from` before it.",
)
YIELD_VALUE = Rule(
    "yield-no-task",
    "is yielded, but is no task: the orchestration fails there",
    "Yield a task of the context; several together with context.task_all([…]).",
)
UNKNOWN_FUNCTION = Rule(
    "unknown-function",
    "names a function that this app does not have",
    "Register it, or name one that is registered.",
)

RULES = (
    CLOCK,
    RANDOM,
    UUID,
    ENVIRONMENT,
    IO,
    NETWORK,
    SLEEP,
    THREAD,
    AWAIT,
    SET_ORDER,
    TASK_NOT_YIELDED,
    YIELD_FROM,
    YIELD_VALUE,
    UNKNOWN_FUNCTION,
)
"""Every rule."""

_VERBS = "get|post|put|patch|delete|head|options|request"
_CALLS: tuple[tuple[Rule, re.Pattern[str]], ...] = tuple(
    (rule, re.compile(pattern))
    for rule, pattern in (
        (CLOCK, r"datetime\.(datetime\.(now|utcnow|today)|date\.today)"),
        (CLOCK, r"time\.(time|monotonic|perf_counter|process_time|thread_time)(_ns)?"),
        (UUID, r"uuid\.uuid[14]"),
        (RANDOM, r"(random|secrets|numpy\.random)\..+|os\.(urandom|getrandom)|hash|id"),
        (ENVIRONMENT, r"os\.(getenv|getpid|getppid|cpu_count|getcwd|uname|getlogin)"),
        (ENVIRONMENT, r"platform\..+|socket\.(gethostname|getfqdn)"),
        (IO, r"open|input|io\.open|pathlib\.Path\.(cwd|home)"),
        (IO, r"os\.(listdir|scandir|walk|mkdir|makedirs|remove|unlink|rename|replace|rmdir)"),
        (IO, r"os\.(stat|open|read|write|system|popen)"),
        (IO, r"os\.path\.(exists|isfile|isdir|getsize|getmtime)"),
        (IO, r"pathlib\.Path\(\)\.(open|exists|is_file|is_dir|stat|iterdir|glob|rglob)"),
        (IO, r"pathlib\.Path\(\)\.(touch|mkdir|unlink|rename|replace|rmdir)"),
        (IO, r"pathlib\.Path\(\)\.(read|write)_(text|bytes)"),
        (IO, r"(shutil|subprocess|tempfile|sqlite3|glob)\..+"),
        (
            NETWORK,
            rf"(requests|httpx)\.({_VERBS}|stream|session|(Session|Client|AsyncClient)(\(\)\..+)?)",
        ),
        (NETWORK, r"urllib\.request\.(urlopen|urlretrieve)|(urllib3|aiohttp|websockets)\..+"),
        (NETWORK, r"http\.client\.HTTPS?Connection.*|(smtplib|ftplib|imaplib|poplib)\..+"),
        (NETWORK, r"socket\.(socket|create_connection|getaddrinfo|gethostbyname)"),
        (NETWORK, r"azure\.(storage|data|cosmos|servicebus|eventhub|keyvault)\..+"),
        (NETWORK, r"(boto3|redis|pymongo|psycopg|psycopg2|pyodbc|pymysql|mssql_python)\..+"),
        (SLEEP, r"(time|asyncio)\.sleep"),
        (THREAD, r"threading\.(Thread|Timer)|concurrent\.futures\.\w+Executor"),
        (THREAD, r"_thread\.start_new_thread|multiprocessing\.(Process|Pool|pool\..+)"),
        (THREAD, r"asyncio\.(run|create_task|ensure_future|gather|wait|wait_for|to_thread)"),
        (THREAD, r"asyncio\.(get_event_loop|new_event_loop|get_running_loop)"),
    )
)


def rule_of_call(name: str) -> Rule | None:
    """The rule that a call of this breaks, by its full dotted name, or None."""
    return next((rule for rule, pattern in _CALLS if pattern.fullmatch(name)), None)


FOR_THE_LOG = frozenset({CLOCK, RANDOM, UUID, ENVIRONMENT})
"""Rules that do not matter in what is only written to the log."""
