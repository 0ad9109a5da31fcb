"""The usual ways to write orchestrators raise no alarm."""

from __future__ import annotations

import pytest
from support.linting import Linter

PATTERNS = {
    "chain with error handling": """
        import logging
        def flow(context):
            try:
                order = context.get_input()
                checked = yield context.call_activity("check", order)
                paid = yield context.call_activity("pay", {**checked, "at": str(order["at"])})
                return yield_free(paid)
            except Exception as error:
                logging.error("failed: %s", error)
                yield context.call_activity("undo", order)
                raise
        def yield_free(paid):
            return [paid["id"], paid["sum"]]
    """,
    "fan-out over a result, fan-in": """
        def flow(context):
            items = yield context.call_activity("list")
            tasks = {}
            for item in items:
                tasks[item] = context.call_activity("work", item)
            results = yield context.task_all(list(tasks.values()))
            return dict(zip(items, results))
    """,
    "approval with a deadline": """
        from datetime import timedelta
        def flow(context):
            deadline = context.current_utc_datetime + timedelta(hours=72)
            timeout = context.create_timer(deadline)
            approval = context.wait_for_external_event("Approval")
            winner = yield context.task_any([approval, timeout])
            if winner == approval:
                timeout.cancel()
                yield context.call_activity("process", approval.result)
            else:
                yield context.call_activity("escalate")
    """,
    "monitor with polling": """
        from datetime import datetime, timedelta
        import json
        def flow(context):
            wish = json.loads(context.get_input())
            end = datetime.fromisoformat(wish["end"])
            while context.current_utc_datetime < end:
                status = yield context.call_activity("job_status", wish["job"])
                context.set_custom_status({"status": status})
                if status == "done":
                    break
                pause = context.current_utc_datetime + timedelta(seconds=30)
                yield context.create_timer(pause)
    """,
    "eternal with continue-as-new": """
        def flow(context):
            state = context.get_input() or {"runs": 0}
            yield context.call_activity("sweep", state)
            context.continue_as_new({"runs": state["runs"] + 1})
    """,
    "sub-orchestrations with retries": """
        import azure.durable_functions as df
        RETRY = df.RetryOptions(first_retry_interval_in_milliseconds=5000, max_number_of_attempts=3)
        def flow(context):
            devices = yield context.call_activity_with_retry("devices", RETRY)
            made = []
            for device in devices:
                child = f"{context.instance_id}:{device}"
                made.append(context.call_sub_orchestrator("set_up", device, child))
            yield context.task_all(made)
            return len(made)
    """,
    "entities called and signalled": """
        import azure.durable_functions as df
        def flow(context):
            source, target = (df.EntityId("account", name) for name in context.get_input())
            context.signal_entity(target, "announce")
            balance = yield context.call_entity(source, "balance")
            if balance > 3:
                yield context.call_entity(source, "withdraw", 3)
    """,
    "durable HTTP": """
        def flow(context):
            url = context.get_input()
            answer = yield context.call_http("GET", url)
            if answer["statusCode"] != 200:
                raise Exception(f"{url} answered {answer['statusCode']}")
            return answer["content"]
    """,
    "helpers as generators and as task makers": """
        import logging
        def flow(context):
            logger = logging.getLogger(__name__)
            if not context.is_replaying:
                logger.info("started %s", context.instance_id)
            first = yield from attempt(context, "a")
            pending = [begin(context, name) for name in ("b", "c")]
            while pending:
                done = yield context.task_any(pending)
                pending.remove(done)
            return first
        def attempt(context, name, tries=3):
            for _ in range(tries):
                result = yield context.call_activity(name)
                if result:
                    return result
        def begin(context, name):
            return context.call_activity(name)
    """,
    "events until all have come": """
        def flow(context):
            waiting = {name: context.wait_for_external_event(name) for name in ("A", "B")}
            seen = set()
            while len(seen) < 2:
                winner = yield context.task_any([t for n, t in waiting.items() if n not in seen])
                for name, task in waiting.items():
                    if task == winner:
                        seen.add(name)
            return sorted(seen)
    """,
    "times and ids of the context": """
        import uuid
        from datetime import date, datetime, timezone
        def flow(context):
            now = context.current_utc_datetime
            key = uuid.uuid5(uuid.NAMESPACE_DNS, str(context.new_guid()))
            birthday = date(now.year, now.month, now.day)
            stamp = datetime(2026, 1, 1, tzinfo=timezone.utc)
            yield context.create_timer(max(now, stamp))
            return f"{key} {birthday:%Y} {context.new_uuid()}"
    """,
    "dataclasses and enums of the project": """
        from dataclasses import dataclass, field
        from enum import Enum
        class Colour(Enum):
            RED = 1
        @dataclass
        class Order:
            lines: list = field(default_factory=list)
            def total(self):
                return sum({line["sum"] for line in self.lines})
        def flow(context):
            order = Order(context.get_input())
            yield context.call_activity("pay", order.total() + Colour.RED.value)
    """,
}


@pytest.mark.parametrize("code", PATTERNS.values(), ids=PATTERNS)
def test_a_usual_pattern_raises_no_alarm(lint: Linter, code: str) -> None:
    assert lint(code) == []
