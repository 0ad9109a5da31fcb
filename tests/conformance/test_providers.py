"""Every case of the contract, on every provider."""

from conformance.client_cases import (
    CreateCases,
    PurgeCases,
    QueryCases,
    ReadCases,
    SendCases,
)
from conformance.history_cases import LongTimerCases, PageCases
from conformance.hub_cases import HostCases, HubCases, RenewCases, WatchCases, WhereaboutsCases
from conformance.moving_cases import MoveCases
from conformance.owner_cases import CancelCases, LeaseCases, MailCases, RecoverCases, UnseenCases
from conformance.payload_cases import PayloadCases
from conformance.record_cases import HoldCases, RecordCases
from conformance.sharing_cases import CompleteCases, KeepCases, OfferCases, TakeBackCases
from conformance.turn_cases import (
    ActivityCases,
    ChildCases,
    CommitCases,
    FenceCases,
    RejectionCases,
    TimerCases,
)


class TestCreate(CreateCases):
    """Clause 1."""


class TestSend(SendCases):
    """Clause 3."""


class TestPurge(PurgeCases):
    """Clause 15."""


class TestRead(ReadCases):
    """Clauses 10 and 16."""


class TestPage(PageCases):
    """Clause 10."""


class TestQuery(QueryCases):
    """Clause 17."""


class TestCommit(CommitCases):
    """Clauses 4 and 9."""


class TestChild(ChildCases):
    """Clause 4."""


class TestFence(FenceCases):
    """Clauses 5 to 7."""


class TestRejection(RejectionCases):
    """Clause 8."""


class TestTimer(TimerCases):
    """Clause 13."""


class TestActivity(ActivityCases):
    """Clause 14."""


class TestMail(MailCases):
    """Clause 2."""


class TestLease(LeaseCases):
    """Clause 11."""


class TestRecover(RecoverCases):
    """Clauses 12 and 14."""


class TestCancel(CancelCases):
    """Clause 19."""


class TestHub(HubCases):
    """Clauses 18 and 20."""


class TestHost(HostCases):
    """Clause 21."""


class TestRecord(RecordCases):
    """Clause 22."""


class TestHold(HoldCases):
    """Clause 23."""


class TestOffer(OfferCases):
    """Clause 24."""


class TestComplete(CompleteCases):
    """Clause 25."""


class TestTakeBack(TakeBackCases):
    """Clause 26."""


class TestKeep(KeepCases):
    """Clause 27."""


class TestWatch(WatchCases):
    """Clause 28."""


class TestRenew(RenewCases):
    """Clause 29."""


class TestWhereabouts(WhereaboutsCases):
    """Clause 30."""


class TestUnseen(UnseenCases):
    """Clause 31."""


class TestPayload(PayloadCases):
    """Clause 32."""


class TestLongTimer(LongTimerCases):
    """Clause 33."""


class TestMove(MoveCases):
    """A hub out of a file, and into one."""
