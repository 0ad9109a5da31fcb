# mypy: disable-error-code="untyped-decorator"
"""What runs around user code: trace contexts and worker extensions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import azure.functions as func
import pytest
from azure.functions import AppExtensionBase, ExtensionMeta, FuncExtensionBase
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.apps import RecordedLog, functions

from func_py.invocation import Around, Failure, Invoker
from func_py.invocation.extensions import extensions_loaded, with_extensions
from func_py.invocation.tracing import with_spans, with_trace_context
from func_py_bindings.contract import FunctionSpec

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def spec_of(code: Any) -> FunctionSpec:
    app = func.FunctionApp()
    app.function_name("f")(app.route()(code))
    return functions(app)["f"]


async def outcome_of(spec: FunctionSpec, around: Around) -> object:
    """What a function returned, or its failure."""

    def finish(value: object, outputs: Mapping[str, object]) -> object:
        return value

    invoker = Invoker(RecordedLog(), around=[around])
    function = invoker.prepare(spec, lambda value: value, finish)
    try:
        return await invoker.call(function, "x", reason="r", trace_parent=PARENT)
    finally:
        invoker.close()


def current_trace() -> str:
    return format(trace.get_current_span().get_span_context().trace_id, "032x")


@pytest.mark.parametrize("is_async", [True, False])
async def test_user_code_runs_within_the_trace_of_its_caller(is_async: bool) -> None:
    async def slow(req) -> Any:  # type: ignore[no-untyped-def]
        return current_trace()

    def plain(req) -> Any:  # type: ignore[no-untyped-def]
        return current_trace()

    spec = spec_of(slow if is_async else plain)
    assert await outcome_of(spec, with_trace_context) == PARENT.split("-")[1]
    assert current_trace() == "0" * 32


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Calls of the hooks of one application and one function extension."""
    monkeypatch.setattr(ExtensionMeta, "_app_exts", None)
    monkeypatch.setattr(ExtensionMeta, "_func_exts", {})
    monkeypatch.setenv("AzureWebJobsScriptRoot", "/app")
    calls: list[tuple[Any, ...]] = []

    class App(AppExtensionBase):  # type: ignore[misc]
        @classmethod
        def post_function_load_app_level(cls, function_name: str, function_directory: str) -> None:
            calls.append(("app loaded", function_name))

        @classmethod
        def pre_invocation_app_level(
            cls, logger: logging.Logger, context: func.Context, func_args: dict[str, object]
        ) -> None:
            calls.append(("app before", logger.name, context.function_name, dict(func_args)))

        @classmethod
        def post_invocation_app_level(
            cls,
            logger: logging.Logger,
            context: func.Context,
            func_args: dict[str, object],
            func_ret: object,
        ) -> None:
            calls.append(("app after", func_ret))

    class Function(FuncExtensionBase):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__("/app/f/__init__.py")

        def post_function_load(self, function_name: str, function_directory: str) -> None:
            calls.append(("loaded", function_name))

        def pre_invocation(self, *arguments: Any) -> None:
            calls.append(("before",))
            raise RuntimeError("a bad hook")

        def post_invocation(self, *arguments: Any) -> None:
            calls.append(("after",))

    Function()
    return calls


@pytest.mark.parametrize("is_async", [True, False])
async def test_hooks_run_around_the_function_and_a_bad_one_is_only_logged(
    hooks: list[tuple[Any, ...]], is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def slow(req) -> Any:  # type: ignore[no-untyped-def]
        return "returned"

    def plain(req) -> Any:  # type: ignore[no-untyped-def]
        return "returned"

    spec = spec_of(slow if is_async else plain)
    assert await outcome_of(spec, with_extensions) == "returned"
    assert hooks == [
        ("app before", "azure_functions_worker.extension.App", "f", {"req": "x"}),
        ("before",),
        ("after",),
        ("app after", "returned"),
    ]
    assert "The hook pre_invocation of the extension Function failed." in caplog.text


async def test_hooks_after_a_function_are_left_out_when_it_raises(
    hooks: list[tuple[Any, ...]],
) -> None:
    async def f(req) -> Any:  # type: ignore[no-untyped-def]
        raise LookupError

    assert isinstance(await outcome_of(spec_of(f), with_extensions), Failure)
    assert [call[0] for call in hooks] == ["app before", "before"]


def test_extensions_are_told_of_loaded_functions(hooks: list[tuple[Any, ...]]) -> None:
    def f(req) -> Any: ...  # type: ignore[no-untyped-def]

    extensions_loaded([spec_of(f)])
    assert hooks == [("app loaded", "f"), ("loaded", "f")]


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def spanning(spans: InMemorySpanExporter) -> Around:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return with_spans(provider.get_tracer("test"))


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_function_call_is_a_span_of_the_callers_trace(
    spans: InMemorySpanExporter, is_async: bool
) -> None:
    async def slow(req, context) -> Any:  # type: ignore[no-untyped-def]
        return context.trace_context.trace_parent, current_trace()

    def plain(req, context) -> Any:  # type: ignore[no-untyped-def]
        return context.trace_context.trace_parent, current_trace()

    outcome: Any = await outcome_of(spec_of(slow if is_async else plain), spanning(spans))
    told, current = outcome
    (span,) = spans.get_finished_spans()
    assert current == PARENT.split("-")[1]
    assert span.parent is not None
    assert format(span.parent.span_id, "016x") == PARENT.split("-")[2]
    assert told.split("-")[2] == format(span.context.span_id, "016x")
    assert current_trace() == "0" * 32


async def test_a_failed_call_and_an_answer_from_500_on_are_errors(
    spans: InMemorySpanExporter,
) -> None:
    def broken(req) -> Any:  # type: ignore[no-untyped-def]
        raise ValueError("no luck")

    def unwell(req) -> Any:  # type: ignore[no-untyped-def]
        return func.HttpResponse(status_code=503)

    def refusing(req) -> Any:  # type: ignore[no-untyped-def]
        return func.HttpResponse(status_code=404)

    for code in (broken, unwell, refusing):
        await outcome_of(spec_of(code), spanning(spans))
    statuses = [span.status.is_ok for span in spans.get_finished_spans()]
    assert statuses == [False, False, True]
    assert spans.get_finished_spans()[0].events[0].name == "exception"
