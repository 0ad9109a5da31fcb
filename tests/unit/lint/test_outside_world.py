"""What an orchestrator reads or does besides yielding tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.linting import Linter

BROKEN = [
    ("replay-clock", "import datetime", "datetime.datetime.now()"),
    ("replay-clock", "import datetime as dt", "dt.datetime.utcnow()"),
    ("replay-clock", "from datetime import datetime, timezone", "datetime.now(timezone.utc)"),
    ("replay-clock", "from datetime import date", "date.today()"),
    ("replay-clock", "import time", "time.time()"),
    ("replay-clock", "from time import monotonic as now", "now()"),
    ("replay-random", "import random", "random.random()"),
    ("replay-random", "from random import choice", "choice([1, 2])"),
    ("replay-random", "import random\nrng = random.Random()", "rng.randint(1, 6)"),
    ("replay-random", "import secrets", "secrets.token_hex()"),
    ("replay-random", "import os", "os.urandom(4)"),
    ("replay-random", "", "hash('text')"),
    ("replay-uuid", "import uuid", "str(uuid.uuid4())"),
    ("replay-uuid", "from uuid import uuid1", "uuid1()"),
    ("replay-environment", "import os", "os.environ['PRICE']"),
    ("replay-environment", "import os", "os.environ.get('PRICE', '1')"),
    ("replay-environment", "from os import environ", "environ['PRICE']"),
    ("replay-environment", "import os", "os.getenv('PRICE')"),
    ("replay-io", "", "open('orders.txt').read()"),
    ("replay-io", "from pathlib import Path", "Path('orders.txt').read_text()"),
    ("replay-io", "from pathlib import Path\norders = Path('a')", "orders.exists()"),
    ("replay-io", "import subprocess", "subprocess.run(['ls'])"),
    ("replay-io", "import sqlite3", "sqlite3.connect('orders.db')"),
    ("replay-network", "import requests", "requests.get('http://example.org').json()"),
    ("replay-network", "import requests\nsession = requests.Session()", "session.get('http://a')"),
    ("replay-network", "import httpx", "httpx.post('http://example.org')"),
    ("replay-network", "import urllib.request", "urllib.request.urlopen('http://example.org')"),
    (
        "replay-network",
        "from azure.storage.blob import BlobClient",
        "BlobClient.from_blob_url('http://a')",
    ),
    ("replay-sleep", "import time", "time.sleep(5)"),
    ("replay-thread", "import threading", "threading.Thread(target=print)"),
    (
        "replay-thread",
        "from concurrent.futures import ThreadPoolExecutor",
        "ThreadPoolExecutor()",
    ),
    ("replay-thread", "import asyncio", "asyncio.run(None)"),
]


@pytest.mark.parametrize(("rule", "imports", "expression"), BROKEN)
def test_the_outside_world_is_found_with_its_line(
    lint: Linter, rule: str, imports: str, expression: str
) -> None:
    code = f"{imports}\n\ndef flow(context):\n    x = {expression}\n    yield context.call(x)\n"

    line = code.splitlines().index(f"    x = {expression}") + 1
    assert [(f.rule.id, f.line) for f in lint(code)] == [(rule, line)]


FINE = [
    ("", "context.current_utc_datetime"),
    ("", "context.new_uuid()"),
    ("import uuid", "uuid.uuid5(uuid.NAMESPACE_URL, context.instance_id)"),
    ("import random", "random.Random(context.instance_id).random()"),
    ("import random", "[r.random() for r in [random.Random(7)]]"),
    ("from datetime import datetime", "datetime.fromisoformat('2026-01-01')"),
    ("from datetime import datetime", "datetime.strptime('2026', '%Y')"),
    ("import os\nPRICE = os.environ.get('PRICE')", "PRICE"),
    ("import os", "os.path.join('a', 'b')"),
    ("from pathlib import Path", "Path('a') / 'b'"),
    ("import json", "json.dumps({'a': 1})"),
    ("import requests", "requests.exceptions.HTTPError"),
    ("import threading", "threading.current_thread"),
    ("from elsewhere import open", "open('x')"),
    ("import logging\nfrom datetime import datetime", "logging.info('at %s', datetime.now())"),
    ("import logging, time\nlogger = logging.getLogger()", "logger.info(f'{time.time()}')"),
    ("import uuid", "print(uuid.uuid4())"),
]


@pytest.mark.parametrize(("imports", "expression"), FINE)
def test_what_is_safe_raises_no_alarm(lint: Linter, imports: str, expression: str) -> None:
    code = f"{imports}\n\ndef flow(context):\n    x = {expression}\n    yield context.call(x)\n"

    assert lint(code) == []


def test_a_parameter_or_variable_of_the_same_name_is_no_module(lint: Linter) -> None:
    code = """
        import random
        def flow(context):
            random = context.get_input()
            yield context.call_activity("a", random.choice(1))
    """

    assert lint(code) == []


def test_what_happens_only_while_not_replaying_is_for_the_log(lint: Linter) -> None:
    code = """
        import time
        def flow(context):
            if not context.is_replaying:
                began = time.time()
                print(began)
            yield context.call_activity("a")
    """

    assert lint(code) == []


def test_an_import_within_the_function_counts(lint: Linter) -> None:
    code = """
        def flow(context):
            from random import random as draw
            yield context.call_activity("a", draw())
    """

    assert [f.rule.id for f in lint(code)] == ["replay-random"]


def test_a_helper_of_another_module_is_followed_and_named(lint: Linter, tmp_path: Path) -> None:
    findings = lint(
        """
        from shop.prices import price
        def flow(context):
            yield context.call_activity("pay", price())
        """,
        {
            "shop/__init__.py": "",
            "shop/prices.py": """
                from .clock import today
                def price():
                    return 3 if today() else 4
            """,
            "shop/clock.py": """
                import datetime
                def today():
                    return datetime.date.today()
            """,
        },
    )

    assert [(f.path, f.line, f.function) for f in findings] == [
        (tmp_path / "shop" / "clock.py", 4, "today")
    ]
    assert "'today', called by orchestrator 'flow': `datetime.date.today()`" in findings[0].message


def test_methods_and_constructors_are_followed(lint: Linter) -> None:
    findings = lint("""
        import random, time
        class Dice:
            def __init__(self):
                self.born = time.time()
            def roll(self):
                return self.one()
            def one(self):
                return random.randint(1, 6)
        def flow(context):
            dice = Dice()
            yield context.call_activity("a", dice.roll())
    """)

    assert [f.rule.id for f in findings] == ["replay-clock", "replay-random"]


def test_a_nested_function_and_a_lambda_count_where_they_are_called(lint: Linter) -> None:
    findings = lint("""
        import random
        def flow(context):
            def draw():
                return random.random()
            def unused():
                return random.random()
            later = lambda: random.choice([1])
            yield context.call_activity("a", draw() + later())
    """)

    assert [f.line for f in findings] == [5, 8]


def test_an_activity_may_do_as_it_likes(lint: Linter) -> None:
    findings = lint("""
        import random
        def flow(context):
            yield context.call_activity(draw)
        @app.activity_trigger(input_name="x")
        def draw(x):
            return random.random()
    """)

    assert findings == []


def test_a_module_of_the_app_is_not_taken_for_that_of_the_standard_library(lint: Linter) -> None:
    code = """
        import secrets
        def flow(context):
            yield context.call_activity("a", secrets.level())
    """

    assert lint(code, {"secrets.py": "def level():\n    return 1\n"}) == []


def test_helpers_that_call_each_other_are_looked_at_once(lint: Linter) -> None:
    findings = lint("""
        import time
        def even(n):
            return odd(n - 1)
        def odd(n):
            return even(n - 1) or time.time()
        def flow(context):
            yield context.call_activity("a", even(3) + odd(2))
    """)

    assert len(findings) == 1


@pytest.mark.parametrize(
    "comment", ["# func-py: ignore", "# func-py: ignore[replay-clock, replay-random]"]
)
def test_a_comment_on_the_line_switches_a_rule_off(lint: Linter, comment: str) -> None:
    code = f"import time\ndef flow(context):\n    time.time()  {comment}\n    yield context.x()\n"

    assert lint(code) == []


def test_a_comment_beside_the_function_switches_a_rule_off_in_all_of_it(lint: Linter) -> None:
    code = """
        import time
        def flow(context):  # func-py: ignore[replay-clock]
            time.sleep(time.time())
            yield context.x()
    """

    assert [f.rule.id for f in lint(code)] == ["replay-sleep"]


def test_a_finding_says_place_rule_and_what_to_do(lint: Linter, tmp_path: Path) -> None:
    (finding,) = lint("import time\ndef flow(context):\n    time.sleep(1)\n    yield context.x()\n")

    assert finding.text == (
        f"{tmp_path / 'function_app.py'}:3: in orchestrator 'flow': `time.sleep(1)` blocks every "
        "orchestration of the host, and does so again at each replay. Use "
        "`yield context.create_timer(context.current_utc_datetime + timedelta(…))`. [replay-sleep]"
    )
