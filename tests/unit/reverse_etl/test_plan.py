"""What a run does and why: every row of the rules."""

import itertools

import pytest

from edgeprofile.reverse_etl.plan import (
    DELIVERED,
    Kind,
    LastRun,
    Mode,
    Operation,
    Situation,
    Standing,
    make_plan,
    operation_for,
    standing_after,
)

COLUMNS = {"country": "string", "spend": "decimal(12, 2)"}
FINGERPRINT = {"mode": "upsert", "destination": "127.0.0.1:6379/0"}


def last(**changes):
    return LastRun(
        **{
            "run_id": "00000001",
            "mode": Mode.UPSERT,
            "completed": True,
            "columns": COLUMNS,
            "fingerprint": FINGERPRINT,
            **changes,
        }
    )


def now(**changes):
    return Situation(**{"mode": Mode.UPSERT, "columns": COLUMNS, "fingerprint": FINGERPRINT, **changes})


class TestKind:
    def test_the_first_run_is_full(self):
        plan = make_plan(None, now())
        assert (plan.kind, plan.why, plan.baseline) == (Kind.FULL, "first sync of this connection", None)
        assert plan.columns == ("country", "spend")
        assert plan.compared == ()

    def test_later_runs_are_incremental(self):
        plan = make_plan(last(), now())
        assert (plan.kind, plan.why) == (Kind.INCREMENTAL, "changes since the last sync")
        assert plan.compared == plan.columns == ("country", "spend")
        assert plan.baseline == last()

    def test_after_a_run_cancelled_with_its_data_prepared_it_is_incremental(self):
        plan = make_plan(last(completed=False), now())
        assert (plan.kind, plan.why) == (Kind.INCREMENTAL, "changes, and what a cancelled sync left undone")

    @pytest.mark.parametrize(
        ("then", "changes", "why"),
        [
            ({}, {"full_asked": True}, "asked for"),
            ({}, {"columns": {**COLUMNS, "plan": "string"}}, "new columns: plan"),
            (
                {},
                {"columns": {**COLUMNS, "spend": "float64"}},
                "changed types: spend (decimal(12, 2) to float64)",
            ),
            ({}, {"fingerprint": {**FINGERPRINT, "mode": "mirror"}}, "changed configuration: mode"),
            ({}, {"fingerprint": {**FINGERPRINT, "ttl": "60"}}, "changed configuration: ttl"),
            ({"fingerprint": {**FINGERPRINT, "ttl": "60"}}, {}, "changed configuration: ttl"),
            ({}, {"ttl": 100, "now": 50.0}, "keys are renewed when half their ttl has passed"),
        ],
    )
    def test_full_again(self, then, changes, why):
        plan = make_plan(last(**then), now(**changes))
        assert (plan.kind, plan.why) == (Kind.FULL, why)
        assert plan.compared == ()
        assert plan.baseline is not None

    def test_all_reasons_are_told(self):
        changes = {"columns": {"country": "int64", "plan": "string"}, "full_asked": True}
        assert make_plan(last(), now(**changes)).reasons == (
            "asked for",
            "new columns: plan",
            "changed types: country (string to int64)",
        )

    def test_a_removed_column_is_no_reason(self):
        plan = make_plan(last(), now(columns={"country": "string"}))
        assert (plan.kind, plan.removed, plan.compared) == (Kind.INCREMENTAL, ("spend",), ("country",))

    def test_a_column_that_comes_back_is_new(self):
        assert make_plan(last(columns={"country": "string"}), now()).why == "new columns: spend"

    def test_keys_are_not_renewed_before_half_their_ttl(self):
        assert make_plan(last(renewed_at=10.0), now(ttl=100, now=59.9)).kind is Kind.INCREMENTAL

    def test_keys_that_a_clock_ahead_of_ours_renewed_are_renewed_again(self):
        plan = make_plan(last(renewed_at=86_400.0), now(ttl=100, now=10.0))
        assert (plan.kind, plan.why) == (Kind.FULL, "keys are renewed when half their ttl has passed")

    @pytest.mark.parametrize(
        ("before", "after", "persist"), [(60, 0, True), (60, 30, False), (0, 60, False), (0, 0, False)]
    )
    def test_keys_lose_a_ttl_that_is_no_longer_configured(self, before, after, persist):
        was, is_now = ({**FINGERPRINT, "ttl": str(ttl)} for ttl in (before, after))
        plan = make_plan(last(fingerprint=was), now(fingerprint=is_now, ttl=after, full_asked=True))
        assert (plan.expiring_until > 0) is persist

    def test_without_a_ttl_nothing_is_renewed(self):
        assert make_plan(last(), now(now=1e9)).kind is Kind.INCREMENTAL

    def test_the_checkpoint_is_for_cursors_alone(self):
        assert make_plan(last(checkpoint="7"), now()).checkpoint is None
        assert make_plan(last(checkpoint="7"), now(cursor="updated_at")).checkpoint == "7"
        assert make_plan(last(checkpoint="7"), now(cursor="updated_at", full_asked=True)).checkpoint is None

    @pytest.mark.parametrize(("kind", "found"), [("timestamp(6)", Kind.FULL), ("string", Kind.INCREMENTAL)])
    def test_infinity_is_a_checkpoint_only_where_it_is_a_word(self, kind, found):
        columns = {"at": kind}
        plan = make_plan(last(checkpoint="Infinity", columns=columns), now(cursor="at", columns=columns))
        assert plan.kind is found
        assert plan.checkpoint == (None if found is Kind.FULL else "Infinity")


class TestStanding:
    @pytest.mark.parametrize("operation", Operation)
    @pytest.mark.parametrize("mode", Mode)
    @pytest.mark.parametrize("completed", [True, False])
    def test_of_a_failed_row_nothing_is_known(self, operation, mode, completed):
        assert standing_after(operation, mode, completed=completed, failed=True) is Standing.UNKNOWN

    @pytest.mark.parametrize("mode", Mode)
    @pytest.mark.parametrize("completed", [True, False])
    def test_an_unchanged_row_is_known_however_the_run_ended(self, mode, completed):
        assert standing_after(Operation.UNCHANGED, mode, completed=completed, failed=False) is Standing.KNOWN

    @pytest.mark.parametrize(
        ("operation", "mode", "completed", "standing"),
        [
            (Operation.INSERT, Mode.UPSERT, True, Standing.KNOWN),
            (Operation.UPDATE, Mode.MIRROR, True, Standing.KNOWN),
            (Operation.INSERT, Mode.UPSERT, False, Standing.UNKNOWN),
            (Operation.UPDATE, Mode.MIRROR, False, Standing.UNKNOWN),
            (Operation.DELETE, Mode.MIRROR, True, Standing.ABSENT),
            (Operation.DELETE, Mode.MIRROR, False, Standing.UNKNOWN),
            (Operation.DELETE, Mode.UPSERT, True, Standing.UNKNOWN),
            (Operation.DELETE, Mode.UPSERT, False, Standing.UNKNOWN),
        ],
    )
    def test_the_others(self, operation, mode, completed, standing):
        assert standing_after(operation, mode, completed=completed, failed=False) is standing

    def test_known_is_only_what_was_delivered_or_did_not_change(self):
        """The one claim that must never be wrong: a known row is not sent again."""
        for operation, mode, completed in itertools.product(Operation, Mode, (True, False)):
            if standing_after(operation, mode, completed=completed, failed=False) is Standing.KNOWN:
                assert operation is Operation.UNCHANGED or (completed and operation in DELIVERED[mode])


class TestOperation:
    @pytest.mark.parametrize(
        ("standing", "in_view", "equal", "kind", "operation"),
        [
            (Standing.ABSENT, True, False, Kind.INCREMENTAL, Operation.INSERT),
            (Standing.ABSENT, True, False, Kind.FULL, Operation.INSERT),
            (Standing.KNOWN, True, True, Kind.INCREMENTAL, Operation.UNCHANGED),
            (Standing.KNOWN, True, False, Kind.INCREMENTAL, Operation.UPDATE),
            (Standing.KNOWN, True, True, Kind.FULL, Operation.UPDATE),
            (Standing.UNKNOWN, True, True, Kind.INCREMENTAL, Operation.UPDATE),
            (Standing.KNOWN, False, False, Kind.INCREMENTAL, Operation.DELETE),
            (Standing.UNKNOWN, False, False, Kind.FULL, Operation.DELETE),
            (Standing.ABSENT, False, False, Kind.FULL, None),
        ],
    )
    def test_every_case(self, standing, in_view, equal, kind, operation):
        assert operation_for(standing, in_view=in_view, equal=equal, kind=kind) is operation

    def test_upsert_never_deletes(self):
        assert Operation.DELETE not in DELIVERED[Mode.UPSERT]
        assert Operation.UNCHANGED not in {*DELIVERED[Mode.UPSERT], *DELIVERED[Mode.MIRROR]}
