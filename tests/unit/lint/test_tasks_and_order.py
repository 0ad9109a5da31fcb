"""Tasks that nobody yields, generators that nobody runs, sets that nobody sorts."""

from __future__ import annotations

import textwrap

import pytest
from support.linting import Linter

HELPERS = """
import azure.durable_functions as df

def pay(context, sum):
    yield context.call_activity("book", sum)
    return (yield context.call_activity("pay", sum))

def chunks(items):
    for item in items:
        yield [item]

def approval(context):
    return context.wait_for_external_event("Approval")
"""

BROKEN = [
    ("task-not-yielded", "context.call_activity('a')"),
    ("task-not-yielded", "x = context.call_activity('a')"),
    ("task-not-yielded", "context.create_timer(context.current_utc_datetime)"),
    ("task-not-yielded", "context.task_all([context.call_activity('a')])"),
    ("task-not-yielded", "tasks = [context.call_activity('a', i) for i in range(3)]"),
    ("task-not-yielded", "context.wait_for_external_event('Go')"),
    ("task-not-yielded", "context.call_http('GET', 'http://example.org')"),
    ("task-not-yielded", "return context.call_activity('a')"),
    ("missing-yield-from", "pay(context, 3)"),
    ("missing-yield-from", "yield pay(context, 3)"),
    ("missing-yield-from", "x = pay(context, 3)\nreturn x"),
    ("missing-yield-from", "return pay(context, 3)"),
    ("yield-no-task", "yield [context.call_activity('a')]"),
    ("yield-no-task", "yield [context.call_activity('a', i) for i in range(3)]"),
    ("yield-no-task", "yield 5"),
    ("yield-no-task", "yield f'{context.instance_id}'"),
    ("replay-set-order", "for x in {'a', 'b'}:\n    yield context.call_activity(x)"),
    ("replay-set-order", "names = set(['a'])\nfor x in names:\n    yield context.call_activity(x)"),
    ("replay-set-order", "yield context.call_activity('a', list({'a', 'b'} | {'c'}))"),
    ("replay-set-order", "yield context.call_activity('a', ','.join({'a', 'b'}))"),
    ("replay-set-order", "yield context.call_activity('a', [x for x in frozenset('ab')])"),
    ("replay-set-order", "out = []\nfor x in {'a', 'b'}:\n    out.append(x)"),
]


def flow(body: str) -> str:
    """An orchestrator with this body and the helpers."""
    return (
        f"{HELPERS}\ndef flow(context):\n{textwrap.indent(body, '    ')}\n    yield context.x()\n"
    )


@pytest.mark.parametrize(("rule", "body"), BROKEN)
def test_it_is_found(lint: Linter, rule: str, body: str) -> None:
    assert [f.rule.id for f in lint(flow(body))] == [rule]


FINE = [
    "yield context.call_activity('a')",
    "x = yield context.call_activity('a')\nreturn x",
    "a = context.call_activity('a')\nb = context.call_activity('b')\nyield a\nyield b",
    "tasks = [context.call_activity('a', i) for i in range(3)]\nyield context.task_all(tasks)",
    "tasks = []\ntasks.append(context.call_activity('a'))\nyield context.task_all(tasks)",
    "timer = context.create_timer(context.current_utc_datetime)\ntimer.cancel()",
    "context.signal_entity(df.EntityId('c', 'k'), 'add', 1)",
    "context.set_custom_status('here')",
    "context.continue_as_new(1)",
    "yield from pay(context, 3)",
    "x = yield from pay(context, 3)\nreturn x",
    "run = pay(context, 3)\nyield from run",
    "for part in chunks([1, 2]):\n    yield context.call_activity('a', part)",
    "yield context.task_all([context.call_activity('a', c) for c in chunks([1])])",
    "parts = list(chunks([1]))\nyield context.call_activity('a', parts)",
    "yield approval(context)",
    "winner = yield context.task_any([approval(context), context.call_activity('a')])",
    "for x in sorted({'a', 'b'}):\n    yield context.call_activity(x)",
    "total = sum(x for x in {1, 2})\nyield context.call_activity('a', total)",
    "names = sorted(x for x in {'a', 'b'})\nyield context.call_activity('a', names)",
    "if 'a' in {'a', 'b'}:\n    yield context.call_activity('a')",
    "yield context.call_activity('a', len({1, 2}))",
    "seen = set(['a'])\nseen = ['a']\nfor x in seen:\n    yield context.call_activity(x)",
    "for x in {'a': 1, 'b': 2}:\n    yield context.call_activity(x)",
]


@pytest.mark.parametrize("body", FINE)
def test_no_alarm(lint: Linter, body: str) -> None:
    assert lint(flow(body)) == []


def test_a_helper_that_is_run_with_yield_from_is_held_to_the_same(lint: Linter) -> None:
    findings = lint("""
        def helper(ctx):
            ctx.call_activity("dropped")
            yield [ctx.call_activity("a")]
        def flow(context):
            yield from helper(context)
    """)

    assert [f.rule.id for f in findings] == ["task-not-yielded", "yield-no-task"]


def test_an_orchestrator_may_hand_its_work_to_a_generator(lint: Linter) -> None:
    code = """
        def helper(ctx):
            yield ctx.call_activity("a")
        def flow(context):
            return helper(context)
    """

    assert lint(code) == []


def test_an_async_orchestrator_is_found(lint: Linter) -> None:
    code = "import asyncio\n\nasync def flow(context):\n    await asyncio.sleep(1)\n"

    assert [(f.rule.id, f.line) for f in lint(code)] == [("replay-await", 3)]


def test_awaiting_a_helper_needs_an_async_function(lint: Linter) -> None:
    code = """
        import asyncio
        async def fetch(context):
            return 1
        def flow(context):
            yield context.call_activity("a", asyncio.run(fetch(context)))
    """

    assert sorted({f.rule.id for f in lint(code)}) == ["replay-await", "replay-thread"]


KNOWN = {"activity": ["say_hello"], "orchestrator": ["Order"]}


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        ("call_activity('say_helo', 1)", "Did you mean 'say_hello'?"),
        ("call_activity_with_retry('say_helo', None)", "Did you mean 'say_hello'?"),
        ("call_activity(name='pay')", "Register an activity of it."),
        ("call_sub_orchestrator('Odrer')", "Did you mean 'Order'?"),
    ],
)
def test_a_name_that_nobody_has_is_found(lint: Linter, call: str, hint: str) -> None:
    (finding,) = lint(flow(f"yield context.{call}"), known=KNOWN)

    assert finding.rule.id == "unknown-function"
    assert finding.message.endswith(hint)


@pytest.mark.parametrize(
    "call",
    ["call_activity('Say_Hello')", "call_activity(say_hello)", "call_sub_orchestrator('order')"],
)
def test_names_match_in_any_case_and_functions_stand_for_themselves(
    lint: Linter, call: str
) -> None:
    assert lint(flow(f"yield context.{call}"), known=KNOWN) == []
