"""Operations of entities: what the SDK's own batch handler does, without what it lets leak."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any

import azure.durable_functions as df
import pytest
from azure.functions._durable_functions import df_dumps

from func_py_bindings.contract import BindingSpec
from func_py_bindings.entity import TYPES, EntityCall, EntityOutcome, Operation, run_operations


class Money:
    """A custom object in the SDK's sense."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    def to_json(self) -> int:
        return self.amount

    @staticmethod
    def from_json(data: int) -> Money:
        return Money(data)


def account(context: Any) -> None:
    """An entity with an operation for everything that can be done."""
    match context.operation_name:
        case "add":
            context.set_state(context.get_state(lambda: 0) + context.get_input())
            context.set_result(context.get_state())
        case "get":
            context.set_result(context.get_state(lambda: "nothing"))
        case "who":
            context.set_result([context.entity_name, context.entity_key])
        case "set":
            context.set_state(context.get_input())
        case "append":
            items = context.get_state(list)
            items.append(context.get_input())
            context.set_state(items)
            context.set_result(items)
        case "spend":
            context.set_state(99)
            raise ValueError("out of money")
        case "silent":
            raise ValueError
        case "delete":
            context.destruct_on_exit()
        case "money":
            context.set_state(Money(5))
        case "cash":
            context.set_result(context.get_state().amount)
        case "bad state":
            context.set_state(object())
        case "bad result":
            context.set_result(object())
        case "exit":
            raise SystemExit(3)
        case _:
            pass


HANDLE = df.Entity.create(account)


def run(
    *operations: str | tuple[str, Any],
    state: str | None = None,
    function: Callable[..., Any] = HANDLE,
) -> EntityOutcome:
    """Run operations on an entity that exists when it has a state."""
    named = [each if isinstance(each, tuple) else (each, None) for each in operations]
    call = EntityCall(
        "account",
        "Key",
        state is not None,
        state,
        [Operation(name, df_dumps(value)) for name, value in named],
    )
    return run_operations(function, call)


def shown(outcome: EntityOutcome) -> list[str]:
    return [each if isinstance(each, str) else repr(each) for each in outcome.results]


def of_the_sdk(operation: str, value: Any, state: str | None) -> dict[str, Any]:
    """What the SDK's handler answers to one operation."""
    payload = {
        "self": {"name": "account", "key": "Key"},
        "exists": state is not None,
        "state": state,
        "batch": [{"name": operation, "input": json.dumps(df_dumps(value)), "isSignal": False}],
    }
    answer: dict[str, Any] = json.loads(HANDLE(json.dumps(payload)))
    return answer


@pytest.mark.parametrize("state", [None, "null", "7", '[1, "x"]', '{"a": 1}'])
@pytest.mark.parametrize(
    ("operation", "value"),
    [
        ("add", 5),
        ("get", None),
        ("who", None),
        ("set", {"deep": [1, None]}),
        ("set", None),
        ("append", "é"),
        ("spend", None),
        ("silent", None),
        ("delete", None),
        ("unknown", None),
    ],
)
def test_one_operation_does_what_the_sdks_handler_does(
    operation: str, value: Any, state: str | None
) -> None:
    sdk = of_the_sdk(operation, value, state)
    outcome = run((operation, value), state=state)
    (result,) = outcome.results
    assert outcome.exists == sdk["entityExists"]
    assert outcome.state == (sdk["entityState"] if sdk["entityExists"] else None)
    assert isinstance(result, BaseException) == sdk["results"][0]["isError"]
    text = result if isinstance(result, str) else df_dumps(str(result))
    assert text == sdk["results"][0]["result"]


def test_operations_of_a_batch_see_what_earlier_ones_left() -> None:
    outcome = run(("add", 5), ("add", 6), "get")
    assert (outcome.exists, outcome.state, shown(outcome)) == (True, "11", ["5", "11", "11"])


def test_an_operation_without_result_does_not_give_that_of_the_one_before() -> None:
    assert shown(run(("add", 5), ("set", 1), "unknown")) == ["5", "null", "null"]


def test_a_result_is_not_changed_by_what_later_operations_do_to_the_object() -> None:
    assert shown(run(("append", 1), ("append", 2))) == ["[1]", "[1, 2]"]


def test_an_operation_without_input_gets_none() -> None:
    outcome = run("set", state="7")
    assert (outcome.exists, outcome.state) == (True, "null")


def test_state_set_before_an_exception_is_kept_and_later_operations_run() -> None:
    outcome = run("spend", ("add", 1))
    assert (outcome.state, shown(outcome)) == ("100", ["ValueError('out of money')", "100"])


def test_an_entity_may_come_back_in_the_batch_that_deleted_it() -> None:
    assert run("delete", ("add", 1), state="7").state == "1"
    gone = run(("add", 1), "delete", state="7")
    assert (gone.exists, gone.state) == (False, None)


def test_a_state_that_nobody_reads_is_passed_on_as_it_is() -> None:
    assert run("unknown", state='{"b":1,   "a":2}').state == '{"b":1,   "a":2}'


def test_a_custom_object_as_state_comes_back_as_one() -> None:
    stored = run("money").state
    assert json.loads(stored or "")["__class__"] == "Money"
    assert shown(run("money", "cash")) == ["null", "5"]


def test_a_result_that_is_no_json_fails_its_operation_alone() -> None:
    outcome = run(("add", 1), "bad result", ("add", 1))
    assert outcome.state == "2"
    assert [type(each) for each in outcome.results] == [str, TypeError, str]


def test_a_state_that_is_no_json_fails_its_operation_alone_and_changes_nothing() -> None:
    outcome = run(("add", 1), "bad state", ("add", 1))
    assert (outcome.exists, outcome.state) == (True, "2")
    assert [type(each) for each in outcome.results] == [str, TypeError, str]


def test_no_operation_is_begun_when_the_patience_is_used_up() -> None:
    operations = [Operation("add", "1")] * 3
    call = EntityCall("account", "Key", False, None, operations, patience_s=0)
    assert run_operations(HANDLE, call) == EntityOutcome(True, "1", ["1"])


def test_code_that_leaves_the_interpreter_fails_its_operation_alone() -> None:
    outcome = run("exit", ("add", 1))
    assert (outcome.state, shown(outcome)) == ("1", ["SystemExit(3)", "1"])


def test_a_function_without_the_sdks_handle_is_called_itself() -> None:
    assert run(("add", 5), function=account).state == "5"


async def asynchronous(context: Any) -> None: ...


def driven(context: Any) -> Generator[Any, Any, Any]:
    yield context


def without_context() -> None: ...


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (asynchronous, "cannot be 'async def'"),
        (driven, "cannot 'yield'"),
        (without_context, "exactly one argument"),
    ],
)
def test_a_function_that_would_never_run_is_a_problem(
    function: Callable[..., Any], problem: str
) -> None:
    binding = BindingSpec("entityTrigger", "context", "in")
    (found,) = TYPES[0].check(binding, df.Entity.create(function))
    assert problem in found


def test_a_plain_entity_function_has_no_problem() -> None:
    assert not list(TYPES[0].check(BindingSpec("entityTrigger", "context", "in"), HANDLE))
