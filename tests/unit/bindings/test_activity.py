"""The activity codec says what the SDK's own converter says."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import Any

import pytest
from azure.functions import meta
from azure.functions.durable_functions import ActivityTriggerConverter
from hypothesis import given
from hypothesis import strategies as st

from func_py_bindings.activity import decode_input, encode_result

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


class Money:
    """A custom object in the SDK's sense."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    @staticmethod
    def to_json(obj: Money) -> str:
        return str(obj.amount)

    @staticmethod
    def from_json(text: str) -> Money:
        return Money(int(text))


def sdk_decode(text: str) -> Any:
    return ActivityTriggerConverter.decode(meta.Datum(text, "json"), trigger_metadata=None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@given(VALUES.map(json.dumps) | st.text())
def test_input_decodes_as_the_sdk_does(text: str) -> None:
    assert decode_input(text, "f") == sdk_decode(text)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "text",
    ["NaN", "-Infinity", "1e400", "-0", '"\\ud800"', "1" * 40, "{", "", " 1 ", '{"a":1,"a":2}'],
)
def test_odd_json_decodes_as_the_sdk_does(text: str) -> None:
    assert repr(decode_input(text, "f")) == repr(sdk_decode(text))


@given(VALUES)
def test_results_are_encoded_as_the_sdk_does(value: Any) -> None:
    assert (
        encode_result(value, "f")
        == ActivityTriggerConverter.encode(value, expected_type=None).value
    )


def test_no_input_is_none() -> None:
    assert decode_input(None, "f") is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_custom_object_round_trips(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType(Money.__module__)
    module.Money = Money  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, Money.__module__, module)
    money = decode_input(encode_result(Money(5), "f"), "f")
    assert isinstance(money, Money)
    assert money.amount == 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_input_of_an_unloaded_module_names_function_and_value() -> None:
    text = '{"__class__": "C", "__module__": "gone", "__data__": "1"}'
    with pytest.raises(ValueError, match=r"activity 'pay'.*'gone' is not loaded.*__class__"):
        decode_input(text, "pay")


def test_unserializable_result_names_function_and_value() -> None:
    with pytest.raises(ValueError, match=r"activity 'pay' is not JSON serializable.*\{1, 2\}"):
        encode_result({1, 2}, "pay")
