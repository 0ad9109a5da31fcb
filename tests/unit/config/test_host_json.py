"""host.json: what is read, what overrides it, and how its errors read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from func_py.config.host_json import load_host_config
from func_py.config.settings import HostConfig, QueueSettings
from func_py.config.timespan import TimeSpan
from func_py.errors import ConfigError

Load = Callable[..., HostConfig]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads host.json with the given text, in the given environment."""

    def load(text: str, **environ: str) -> HostConfig:
        (tmp_path / "host.json").write_text(text, encoding="utf-8")
        return load_host_config(tmp_path, environ)

    return load


def durable(body: str) -> str:
    return f'{{"version": "2.0", "extensions": {{"durableTask": {body}}}}}'


def test_the_smallest_file_gives_the_defaults(load: Load, tmp_path: Path) -> None:
    config = load('{"version": "2.0"}')

    assert config.http.route_prefix == "api"
    assert config.durable.hub_name == "TestHubName"
    assert config.durable.storage_provider.partition_count == 4
    assert config.durable.overridable_existing_instance_states == "NonRunningStates"
    assert config.state_dir == tmp_path / ".func-py"
    assert config.function_timeout == timedelta(minutes=30)
    assert config.retry is None
    assert (config.http.max_outstanding_requests, config.http.max_concurrent_requests) == (-1, -1)
    assert config.warnings == ()


def test_byte_order_mark_comments_and_trailing_commas_are_accepted(load: Load) -> None:
    config = load(
        '\ufeff{ // a comment with "quotes"\n "version": "2.0", /* and\n another */\n'
        ' "extensions": {"http": {"routePrefix": "a//b",},}, }'
    )

    assert config.http.route_prefix == "a//b"


def test_keys_match_in_any_case(load: Load) -> None:
    config = load('{"Version": "2.0", "Extensions": {"DurableTask": {"HubName": "Mine"}}}')

    assert config.durable.hub_name == "Mine"


def test_numbers_and_truth_values_may_be_text(load: Load) -> None:
    text = durable('{"maxConcurrentActivityFunctions": "7", "extendedSessionsEnabled": "true"}')

    assert load(text).durable.max_concurrent_activity_functions == 7


def test_a_null_is_as_good_as_absent(load: Load) -> None:
    config = load(durable('{"maxConcurrentActivityFunctions": null, "hubName": null}'))

    assert config.durable.hub_name == "TestHubName"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("00:05:00", timedelta(minutes=5)),
        ("1.02:03:04.5", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
        ("7", timedelta(days=7)),
        ("-1", None),
    ],
)
def test_function_timeout_is_a_time_span_or_minus_one_for_ever(
    load: Load, written: str, meant: timedelta | None
) -> None:
    config = load(f'{{"version": "2.0", "functionTimeout": "{written}"}}')

    assert config.function_timeout == meant


def test_an_app_wide_retry_policy_is_read(load: Load) -> None:
    config = load(
        '{"version": "2.0", "retry": {"strategy": "exponentialBackoff", "maxRetryCount": "5", '
        '"minimumInterval": "00:00:10", "maximumInterval": "00:15:00"}}'
    )

    assert config.retry is not None
    assert config.retry.max_retry_count == 5
    assert config.retry.maximum_interval == timedelta(minutes=15)


def test_limits_headers_and_strict_transport_come_from_the_http_section(load: Load) -> None:
    config = load(
        """{"version": "2.0", "extensions": {"http": {
            "maxOutstandingRequests": 20, "maxConcurrentRequests": "10",
            "customHeaders": {"X-Content-Type-Options": "nosniff"},
            "hsts": {"isEnabled": true, "maxAge": "10", "excludedHosts": ["example.org"]}}}}"""
    )

    assert config.http.max_outstanding_requests == 20
    assert config.http.max_concurrent_requests == 10
    assert config.http.custom_headers == {"X-Content-Type-Options": "nosniff"}
    assert config.http.hsts.max_age == timedelta(days=10)
    assert config.http.hsts.excluded_hosts == ("example.org",)


# ---- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "host.json: is missing the required 'version' property"),
        ('{"version": "3.0"}', 'host.json: version: expected "2.0", found "3.0"'),
        ("[]", "host.json: must hold a JSON object"),
        (
            '{\n "version": "2.0"\n "functionTimeout": 1}',
            "host.json: is not valid JSON: Expecting ',' delimiter (line 3, column 2)",
        ),
        (
            '{"version": "2.0", "functionTimeout": "soon"}',
            (
                'functionTimeout: expected a time span such as "00:00:30" or "1.12:00:00", '
                'found "soon"'
            ),
        ),
        (
            '{"version": "2.0", "functionTimeout": "25:00:00"}',
            "host.json: functionTimeout: expected hours below 24",
        ),
        (
            '{"version": "2.0", "functionTimeout": "00:00:00"}',
            'host.json: functionTimeout: expected at least "00:00:01", or "-1" for no limit',
        ),
        (
            '{"version": "2.0", "retry": {"strategy": "fixedDelay", "maxRetryCount": 3}}',
            "host.json: retry: 'fixedDelay' needs 'delayInterval'",
        ),
        (
            (
                '{"version": "2.0", "retry": {"strategy": "exponentialBackoff", "maxRetryCount": 3,'
                ' "minimumInterval": "00:01:00", "maximumInterval": "00:00:01"}}'
            ),
            "host.json: retry: 'minimumInterval' exceeds 'maximumInterval'",
        ),
        (
            '{"version": "2.0", "extensions": {"http": {"customHeaders": {"X": "a\\nb"}}}}',
            "host.json: extensions.http.customHeaders.X: expected a header's name and value",
        ),
        (
            '{"version": "2.0", "extensions": {"http": {"maxConcurrentRequests": -2}}}',
            "host.json: extensions.http.maxConcurrentRequests: expected int >= -1, found -2",
        ),
        (
            '{"version": "2.0", "logging": {"logLevel": {"default": "Loud"}}}',
            "host.json: logging.logLevel.default: expected one of Trace, Debug,",
        ),
        (
            durable('{"maxConcurrentActivityFunctions": "many"}'),
            (
                "host.json: extensions.durableTask.maxConcurrentActivityFunctions: "
                'expected int, found "many"'
            ),
        ),
        (
            durable('{"storageProvider": {"partitionCount": 17}}'),
            (
                "host.json: extensions.durableTask.storageProvider.partitionCount: "
                "expected int <= 16, found 17"
            ),
        ),
        (
            durable('{"storageProvider": "sqlite"}'),
            'host.json: extensions.durableTask.storageProvider: expected object, found "sqlite"',
        ),
        (
            durable('{"hubName": "my hub"}'),
            "host.json: extensions.durableTask.hubName: expected a letter, then",
        ),
        (
            durable('{"hubName": "%HUB%"}'),
            "host.json: extensions.durableTask.hubName: '%HUB%' does not resolve to a value.",
        ),
        (
            durable('{"hubName": "50%"}'),
            "The '%' at position 2 does not have a closing '%'.",
        ),
    ],
)
def test_an_unusable_value_is_named_with_file_key_and_value(
    load: Load, text: str, message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load(text)

    assert message in str(raised.value)


def test_a_missing_file_says_what_the_smallest_one_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'the smallest is {"version": "2.0"}'):
        load_host_config(tmp_path, {})


def test_a_wrong_value_in_an_override_names_the_variable(load: Load) -> None:
    name = "AzureFunctionsJobHost__extensions__durableTask__maxConcurrentActivityFunctions"

    with pytest.raises(ConfigError) as raised:
        load('{"version": "2.0"}', **{name: "many"})

    assert str(raised.value) == f'environment variable {name}: expected int, found "many"'


# ---- overrides and settings --------------------------------------------------------------------


def test_the_environment_overrides_one_leaf_and_leaves_its_neighbours(load: Load) -> None:
    config = load(
        durable('{"hubName": "A", "storageProvider": {"type": "AzureStorage", "path": "p"}}'),
        AzureFunctionsJobHost__extensions__durabletask__storageProvider__TYPE="sqlite",
    )

    assert config.durable.storage_provider.type == "sqlite"
    assert config.durable.storage_provider.path == "p"
    assert config.durable.hub_name == "A"


def test_an_override_may_be_empty(load: Load) -> None:
    config = load('{"version": "2.0"}', AzureFunctionsJobHost__extensions__http__routePrefix="")

    assert config.http.route_prefix == ""


def test_an_override_replaces_one_item_of_a_list(load: Load) -> None:
    config = load(
        '{"version": "2.0", "functions": ["a", "b"]}', AzureFunctionsJobHost__functions__1="c"
    )

    assert config.functions == ("a", "c")


def test_an_override_can_begin_a_list(load: Load) -> None:
    config = load('{"version": "2.0"}', AzureFunctionsJobHost__functions__0="c")

    assert config.functions == ("c",)


def test_a_percent_name_is_an_app_setting(load: Load) -> None:
    config = load(durable('{"hubName": "Hub%STAGE%"}'), stage="Blue")

    assert config.durable.hub_name == "HubBlue"


def test_keys_of_a_foreign_storage_provider_reach_it_resolved(load: Load) -> None:
    config = load(
        durable('{"storageProvider": {"type": "redis", "database": 3, "url": "%URL%"}}'),
        URL="redis://x",
    )

    assert config.storage_options == {"type": "redis", "database": 3, "url": "redis://x"}
    assert config.warnings == ()


def test_the_default_hub_is_named_after_the_site(load: Load) -> None:
    config = load('{"version": "2.0"}', WEBSITE_SITE_NAME="7-my.site")

    assert config.durable.hub_name == "t7mysite"


def test_the_state_directory_of_the_environment_wins(load: Load, tmp_path: Path) -> None:
    text = durable('{"storageProvider": {"path": "data"}}')

    assert load(text).state_dir == tmp_path / "data"
    assert load(text, FUNC_PY_STATE_DIR="/state").state_dir == Path("/state")


# ---- unknown keys ------------------------------------------------------------------------------


def test_an_unknown_key_is_reported_with_the_nearest_known_one(load: Load) -> None:
    config = load(durable('{"hubname_": "x", "maxConcurentActivityFunctions": 3}'))

    assert config.warnings == (
        "host.json: unknown key 'extensions.durableTask.hubname_'. Did you mean 'hubName'?",
        (
            "host.json: unknown key 'extensions.durableTask.maxConcurentActivityFunctions'. "
            "Did you mean 'maxConcurrentActivityFunctions'?"
        ),
    )


def test_keys_that_only_the_official_host_uses_are_no_news(load: Load) -> None:
    config = load(
        """{"version": "2.0", "extensionBundle": {"id": "x", "version": "[4.*, 5.0.0)"},
            "logging": {"applicationInsights": {"samplingSettings": {"isEnabled": true}}},
            "extensions": {"kafka": {}, "somebodyElses": {},
                           "durableTask": {"tracing": {"version": "V2"}}}}"""
    )

    assert config.warnings == ()


def test_a_misspelt_key_of_a_section_that_is_not_read_is_reported(load: Load) -> None:
    config = load(
        """{"version": "2.0",
            "logging": {"applicationInsights": {"samplingSetings": {"isEnabled": true}}},
            "extensions": {"serviceBus": {"prefechCount": 8, "brandNew": 1}}}"""
    )

    assert config.warnings == (
        (
            "host.json: unknown key 'logging.applicationInsights.samplingSetings'. "
            "Did you mean 'samplingSettings'?"
        ),
        (
            "host.json: unknown key 'extensions.serviceBus.prefechCount'. "
            "Did you mean 'prefetchCount'?"
        ),
    )


def test_a_section_of_version_1_names_its_place_today(load: Load) -> None:
    config = load('{"version": "2.0", "http": {"routePrefix": "x"}}')

    assert config.warnings == (
        "host.json: 'http' has no effect: it is of version 1: use 'extensions.http'.",
    )


def queues(body: str) -> str:
    return f'{{"version": "2.0", "extensions": {{"queues": {body}}}}}'


def test_how_queues_are_listened_to(load: Load) -> None:
    config = load(
        queues(
            '{"batchSize": 32, "newBatchThreshold": 0, "maxDequeueCount": 1, "messageEncoding": '
            '"None", "maxPollingInterval": "00:00:05", "visibilityTimeout": "00:00:30"}'
        )
    )

    assert config.warnings == ()
    assert config.queues == QueueSettings(
        batch_size=32,
        new_batch_threshold=0,
        max_dequeue_count=1,
        message_encoding="None",
        max_polling_interval=TimeSpan(seconds=5),
        visibility_timeout=TimeSpan(seconds=30),
    )


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('{"batchSize": 33}', "extensions.queues.batchSize"),
        ('{"messageEncoding": "utf8"}', 'messageEncoding: expected "base64" or "none"'),
        ('{"maxPollingInterval": "00:00:00.05"}', "maxPollingInterval: must be at least"),
        ('{"visibilityTimeout": "8.00:00:00"}', "visibilityTimeout: must be from"),
    ],
)
def test_what_cannot_be_asked_of_queues(load: Load, body: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load(queues(body))


def test_unknown_key_of_queues_is_told(load: Load) -> None:
    (warning,) = load(queues('{"maxDequeCount": 1}')).warnings

    assert "Did you mean 'maxDequeueCount'?" in warning


def test_life_cycle_events_that_are_not_published_are_said_to_have_no_effect(load: Load) -> None:
    config = load(durable('{"Notifications": {"eventGrid": {"topicEndpoint": "x"}}}'))

    assert config.warnings == (
        (
            "host.json: 'extensions.durableTask.notifications' has no effect: "
            "life cycle events are not published."
        ),
    )
