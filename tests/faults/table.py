"""Every crash point of a durable engine: the tests that die there, or why nobody can.

The letters: C client, T turn, N continue-as-new, A activity, M timer, S sub-orchestration, P
suspension, R rewind, E entity, H host and store. `[name]` behind a test is a scenario of the crash
matrix, which kills at every passage of every point of `func_py.durable.faults` in it.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """`tests`: `path::name` below `tests`. `why`: why nothing can happen there, or not here."""

    death: str
    tests: tuple[str, ...] = ()
    why: str = ""


_MATRIX = "faults/test_crash_matrix.py::test_a_death_at_any_passage_of_a_crash_point_does_no_harm"
_POINTS = "faults/test_crash_points.py"
_TAKEOVER = "faults/test_takeover.py"
_OUTAGES = "faults/test_store_outages.py"
_POISON = "faults/test_poison.py"
_PROCESSES = "conformance/test_sqlite_processes.py"
_FILES = "conformance/test_sqlite_files.py"
_CLIENT = "conformance/client_cases.py"
_TURNS = "conformance/turn_cases.py"
_OWNER = "conformance/owner_cases.py"
_HUB = "conformance/hub_cases.py"
_ENTITIES = "unit/durable/test_entities.py"


def _plays(*scenarios: str) -> tuple[str, ...]:
    return tuple(f"{_MATRIX}[{name}]" for name in scenarios)


_NO_LOCKS = "The SDK has no entity locks: no lock is ever taken."
_ONE_OWNER = (
    "A host of the embedded hub owns its partitions for as long as its process lives; there is no "
    "time after which they pass to another."
)

CRASH_POINTS: dict[str, Row] = {
    # ---- client starts ---------------------------------------------------------------------
    "C1": Row("before the transaction", _plays("journeys", "family", "replaced")),
    "C2": Row(
        "between record and start message",
        (f"{_CLIENT}::test_the_start_message_is_stored_with_the_instance",),
        "One transaction stores both.",
    ),
    "C3": Row("after commit, before reply", _plays("journeys", "family", "replaced")),
    "C4": Row("old instance gone, new one not created", _plays("replaced")),
    "C5": Row(
        "id reused while the old execution's turn runs",
        (
            f"{_TAKEOVER}::test_an_instance_replaced_at_any_moment_leaves_no_trace_in_the_next_one",
            f"{_TAKEOVER}::test_an_instance_replaced_while_it_is_loaded_is_loaded_again",
            f"{_TURNS}::test_a_turn_of_a_replaced_instance_is_lost",
        ),
    ),
    "C6": Row(
        "two clients start one id at once",
        (
            f"{_CLIENT}::test_of_two_hosts_that_start_the_same_id_one_wins",
            f"{_PROCESSES}::test_processes_that_replace_one_instance_leave_one",
        ),
    ),
    # ---- client events ---------------------------------------------------------------------
    "C7": Row(
        "event or command before and after its commit",
        _plays("journeys", "generations", "held", "terminated", "rewound", "signals"),
    ),
    "C8": Row("event racing completion", _plays("generations", "held")),
    "C9": Row("terminate racing the first turn", _plays("terminated")),
    # ---- turn ------------------------------------------------------------------------------
    "T1": Row("before reading history", _plays("journeys", "generations")),
    "T2": Row("after reading, before user code", _plays("journeys", "family")),
    "T3": Row(
        "inside user code",
        (
            *_plays("journeys", "generations"),
            f"{_POISON}::test_an_orchestrator_that_kills_its_process_fails_and_the_others_go_on",
        ),
    ),
    "T4": Row(
        "user code hangs",
        (f"{_POINTS}::test_code_that_hung_until_its_host_was_killed_runs_again",),
    ),
    "T5": Row(
        "after user code, before commit",
        (
            *_plays("journeys", "family", "errands"),
            f"{_POINTS}::test_whatever_was_done_before_a_death_is_on_the_disk",
        ),
    ),
    "T6": Row(
        "during commit, outcome unknown",
        (
            *_plays("journeys", "family"),
            f"{_OUTAGES}::test_a_commit_that_was_not_answered_is_not_repeated_and_its_effects_happen",
            f"{_PROCESSES}::test_a_turn_interrupted_by_death_is_whole_or_absent",
        ),
    ),
    "T7": Row("after commit, before its effects", _plays("journeys", "family", "errands")),
    "T8": Row(
        "lease lost before commit, another host commits first",
        (
            f"{_TAKEOVER}::test_an_engine_that_lost_its_partitions_changes_nothing",
            f"{_TURNS}::test_a_host_taken_for_dead_is_fenced",
        ),
    ),
    "T9": Row(
        "lease lost, the late host commits first",
        (f"{_TURNS}::test_an_old_lease_is_no_good_after_a_new_one",),
        "A lease has an epoch: the late host is refused, whoever comes first.",
    ),
    "T10": Row(
        "store away during the turn",
        (f"{_OUTAGES}::test_work_goes_on_after_an_outage_and_the_log_says_so_once",),
    ),
    "T11": Row(
        "commit fails on one row",
        (
            f"{_TURNS}::test_a_row_that_the_store_refuses_loses_its_turn_only",
            f"{_TURNS}::test_an_instance_goes_on_after_a_rejected_turn",
        ),
    ),
    "T12": Row("messages arrive during the turn", _plays("generations", "held", "signals")),
    "T13": Row("giving a turn back fails", why="A turn is never given back: it is in memory only."),
    # ---- continue as new -------------------------------------------------------------------
    "N1": Row("before the new generation is stored", _plays("generations")),
    "N2": Row("in the middle of a loop", _plays("generations", "terminated")),
    "N3": Row("after it is stored", _plays("generations")),
    "N4": Row("old activity or timer ends afterwards", _plays("generations")),
    "N5": Row("terminate between generations", _plays("terminated")),
    # ---- activities ------------------------------------------------------------------------
    "A1": Row("in the queue, not started", _plays("journeys", "family")),
    "A2": Row(
        "during user code",
        (
            f"{_POISON}::test_an_activity_that_kills_its_process_fails_and_the_others_succeed",
            f"{_TAKEOVER}::test_activities_of_a_dead_host_run_again_as_a_further_attempt",
        ),
    ),
    "A3": Row("after user code, before the result is stored", _plays("journeys", "family")),
    "A4": Row(
        "during the commit of the result",
        (
            *_plays("journeys", "family"),
            f"{_POINTS}::test_a_fan_out_is_stored_as_a_whole_and_each_call_gives_one_result",
        ),
    ),
    "A5": Row("after it", _plays("journeys", "family")),
    "A6": Row(
        "two hosts ran the call",
        (
            f"{_TAKEOVER}::test_a_batch_of_fenced_turns_leaves_no_activity_behind",
            f"{_TURNS}::test_an_activity_is_taken_once",
        ),
    ),
    "A7": Row("instance ended or continued meanwhile", _plays("terminated", "generations")),
    "A8": Row(
        "process killed by the call itself",
        (
            f"{_POISON}::test_an_activity_that_kills_its_process_fails_and_the_others_succeed",
            f"{_POISON}::test_an_activity_killed_from_outside_each_time_fails_and_innocents_go_on",
        ),
    ),
    "A9": Row(
        "function gone in the next deployment",
        (f"{_POINTS}::test_an_activity_that_a_new_deployment_lacks_fails_its_orchestration",),
    ),
    # ---- timers ----------------------------------------------------------------------------
    "M1": Row(
        "nobody lives at the due time",
        (f"{_POINTS}::test_a_timer_that_was_due_while_nobody_lived_fires_once",),
    ),
    "M2": Row("between firing and effect", _plays("journeys")),
    "M3": Row("cancelled, still to fire", _plays("journeys")),
    "M4": Row(
        "clock set back",
        (
            f"{_POINTS}::test_a_clock_that_was_set_back_fires_no_timer_early_and_keeps_turns_in_order",
        ),
    ),
    # ---- children --------------------------------------------------------------------------
    "S1": Row("parent stored, child not started", _plays("family")),
    "S2": Row("child's last commit", _plays("family")),
    "S3": Row("parent runs its turn again", _plays("family")),
    "S4": Row(
        "parent ended before the child answers",
        (
            *_plays("dismissed"),
            "unit/durable/test_lifecycle.py::test_terminate_leaves_children_alone_unless_asked",
        ),
    ),
    "S5": Row("recursive terminate half way", _plays("dismissed")),
    "S6": Row("recursive purge half way", _plays("buried")),
    "S7": Row(
        "wide fan-out in one turn",
        (
            f"{_POINTS}::test_a_fan_out_is_stored_as_a_whole_and_each_call_gives_one_result",
            f"{_TURNS}::test_a_wide_fan_out_is_stored_and_taken",
        ),
    ),
    # ---- suspension ------------------------------------------------------------------------
    "P1": Row(
        "suspended, then death",
        (
            *_plays("held"),
            f"{_POINTS}::test_what_a_suspension_holds_back_survives_a_death_in_the_turn_that_takes_it",
        ),
    ),
    "P2": Row("during the resume of what was held back", _plays("held")),
    # ---- rewind ----------------------------------------------------------------------------
    "R1": Row("asked for, its turn has not run", _plays("rewound")),
    "R2": Row("history rewritten half way", _plays("rewound")),
    "R3": Row("parent rewritten, child told", _plays("rewound")),
    "R4": Row("late failure of the old execution", _plays("rewound")),
    # ---- entities --------------------------------------------------------------------------
    "E1": Row(
        "during the operations",
        (
            *_plays("errands", "signals"),
            f"{_POISON}::test_an_operation_that_kills_its_process_fails_and_the_entity_goes_on",
        ),
    ),
    "E2": Row("after them, before commit", _plays("errands", "signals")),
    "E3": Row("during commit", _plays("errands", "signals")),
    "E4": Row(
        "some of the operations reported",
        (f"{_ENTITIES}::test_batches_are_no_larger_than_the_options_allow",),
        "What a batch did is reported as a whole, by a turn of its own.",
    ),
    "E5": Row("lock granted, before commit", why=_NO_LOCKS),
    "E6": Row("lock forwarded, death of everything", why=_NO_LOCKS),
    "E7": Row("holder dies in its section", why=_NO_LOCKS),
    "E8": Row("holder ends in its section", why=_NO_LOCKS),
    "E9": Row("release that comes twice", why=_NO_LOCKS),
    "E10": Row("signals of one sender, repeated or out of order", _plays("errands", "signals")),
    "E11": Row("scheduled signal due while down", why="The SDK's signals have no due time."),
    "E12": Row(
        "deletion racing a signal",
        (*_plays("signals"), f"{_ENTITIES}::test_cleaning_loses_no_signal_that_is_on_its_way"),
    ),
    "E13": Row("cleaning racing a lock", why=_NO_LOCKS),
    # ---- host and store --------------------------------------------------------------------
    "H1": Row(
        "schema half made, several hosts start",
        (
            f"{_POINTS}::test_a_host_killed_at_its_first_start_leaves_a_hub_that_works",
            f"{_PROCESSES}::test_processes_that_create_the_hub_at_once_agree",
        ),
    ),
    "H2": Row(
        "store restarts",
        (f"{_OUTAGES}::test_work_goes_on_after_an_outage_and_the_log_says_so_once",),
    ),
    "H3": Row("disk full", (f"{_PROCESSES}::test_a_full_disk_is_reported_and_survived",)),
    "H4": Row(
        "graceful stop with work in flight",
        ("e2e/test_access.py::test_a_drained_host_leaves_orchestrations_to_the_process_after_it",),
    ),
    "H5": Row(
        "crash loop",
        (
            f"{_POINTS}::test_hosts_killed_at_a_commit_of_their_take_over_lose_nothing",
            "unit/supervisor/test_backoff.py::test_delays_double_up_to_the_longest",
        ),
    ),
    "H6": Row("payload stored, row not", why="The embedded hub keeps payloads in their rows."),
    "H7": Row("purge interrupted", _plays("purged", "buried")),
    "H8": Row(
        "backup of an older time",
        why="It is what a death then would have left: work goes on from there, activities repeat.",
    ),
    "H9": Row(
        "two hubs in one place", (f"{_HUB}::test_hubs_of_different_names_do_not_see_each_other",)
    ),
    "H10": Row(
        "paused longer than a lease",
        (
            f"{_PROCESSES}::test_a_stopped_process_keeps_its_partitions",
            f"{_TAKEOVER}::test_an_engine_that_lost_its_partitions_changes_nothing",
        ),
        _ONE_OWNER,
    ),
}
