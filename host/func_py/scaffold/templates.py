"""Functions to begin with. Each runs as it is, here and in Azure."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from func_py.errors import UserError

AuthLevel = Literal["function", "anonymous", "admin"]


@dataclass(frozen=True, slots=True)
class Template:
    """Code for one or more functions.

    In `code`, `@NAME@` is the function's name, `@APP@` the app or blueprint, `@FUNC@` and `@DF@`
    are the modules of the SDKs, `@LEVEL@` is the auth level. `defines` are all the names it binds,
    in the same notation. `modules` are those it uses besides. `aliases`: what Core Tools calls it.
    """

    name: str
    about: str
    code: str
    defines: tuple[str, ...] = ("@NAME@",)
    is_durable: bool = False
    modules: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


TEMPLATES: tuple[Template, ...] = (
    Template(
        "http",
        "answers HTTP requests",
        """\
@@APP@.route(route="@NAME@", auth_level=@FUNC@.AuthLevel.@LEVEL@)
def @NAME@(req: @FUNC@.HttpRequest) -> @FUNC@.HttpResponse:
    name = req.params.get("name")
    if not name:
        return @FUNC@.HttpResponse("Add ?name=... to the URL.", status_code=400)
    return @FUNC@.HttpResponse(f"Hello, {name}!")
""",
        aliases=("HTTP trigger",),
    ),
    Template(
        "timer",
        "runs by a schedule",
        """\
@@APP@.timer_trigger(schedule="0 */5 * * * *", arg_name="timer")
def @NAME@(timer: @FUNC@.TimerRequest) -> None:
    logging.info("Five minutes have passed%s.", ", and more" if timer.past_due else "")
""",
        modules=("logging",),
        aliases=("Timer trigger",),
    ),
    Template(
        "orchestration",
        "an orchestrator with an activity of its own",
        """\
@@APP@.orchestration_trigger(context_name="context")
def @NAME@(context: @DF@.DurableOrchestrationContext):
    tokyo = yield context.call_activity("@NAME@_step", "Tokyo")
    london = yield context.call_activity("@NAME@_step", "London")
    return [tokyo, london]


@@APP@.activity_trigger(input_name="city")
def @NAME@_step(city: str) -> str:
    return f"Hello, {city}!"
""",
        defines=("@NAME@", "@NAME@_step"),
        is_durable=True,
        aliases=("Durable Functions orchestrator", "orchestrator"),
    ),
    Template(
        "activity",
        "a step that orchestrators call",
        """\
@@APP@.activity_trigger(input_name="city")
def @NAME@(city: str) -> str:
    return f"Hello, {city}!"
""",
        is_durable=True,
        aliases=("Durable Functions activity",),
    ),
    Template(
        "entity",
        "a durable entity: state, and operations on it one at a time",
        """\
@@APP@.entity_trigger(context_name="context")
def @NAME@(context: @DF@.DurableEntityContext):
    value = context.get_state(lambda: 0)
    if context.operation_name == "add":
        value += context.get_input()
    elif context.operation_name == "reset":
        value = 0
    context.set_state(value)
    context.set_result(value)
""",
        is_durable=True,
        aliases=("Durable Functions entity",),
    ),
    Template(
        "starter",
        "an HTTP function that starts any orchestrator, with a durable client",
        """\
@@APP@.route(
    route="@NAME@/{orchestrator}",
    methods=["POST"],
    auth_level=@FUNC@.AuthLevel.@LEVEL@,
)
@@APP@.durable_client_input(client_name="client")
async def @NAME@(
    req: @FUNC@.HttpRequest, client: @DF@.DurableOrchestrationClient
) -> @FUNC@.HttpResponse:
    instance_id = await client.start_new(req.route_params["orchestrator"])
    return client.create_check_status_response(req, instance_id)
""",
        is_durable=True,
        aliases=("Durable Functions HTTP starter", "client"),
    ),
)


def find_template(name: str) -> Template:
    """The template of this name or alias; case, spaces and the word "trigger" do not matter.

    Raises:
        UserError: There is none; lists those there are.
    """
    wanted = _plain(name)
    for template in TEMPLATES:
        if wanted in {_plain(known) for known in (template.name, *template.aliases)}:
            return template
    names = [template.name for template in TEMPLATES]
    near = difflib.get_close_matches(wanted, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise UserError(
        f'Can\'t find template "{name}" in "python".{hint} Templates: {", ".join(names)}.'
    )


def fill(text: str, values: dict[str, str]) -> str:
    """Put values in for `@KEY@`."""
    return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], text)


def _plain(name: str) -> str:
    plain = re.sub(r"[^a-z]", "", name.lower())
    return plain.removesuffix("trigger") or plain
