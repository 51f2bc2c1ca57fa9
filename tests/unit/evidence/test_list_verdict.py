"""A status list offline: whose it is, that the chain records it, that none came later; or a reason each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from eth_abi.abi import encode

from silkledger.evidence.bundle import Contract
from silkledger.evidence.completeness import EventQuestion
from silkledger.evidence.header import EngineKind
from silkledger.evidence.list_verdict import PUBLISHED, ListVerdict, Shown, verify_status_list
from silkledger.evidence.reasons import Reason
from silkledger.evidence.receipts import EventLog, Receipt
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import CheckResult, Outcome
from silkledger.evm.contracts import artifact
from silkledger.keys import PrivateKey
from silkledger.registry.histories import status_list_id
from silkledger.status_bits import StatusBits
from silkledger.status_list import StatusList, parse_status_list, sign_status_list
from tests.unit.evidence.event_world import TRANSFER, EventWorld, block_of, transfer
from tests.unit.evidence.qbft_chain import validators
from tests.unit.evidence.refusals import assert_fails, assert_undecided, refused
from tests.unit.evidence.test_list_equivocation import ISSUER, KEY, OTHER_KEY, key_record, world_with
from tests.unit.evidence.world import CONTRACTS, World

AT = datetime(2026, 3, 5, tzinfo=UTC)
REGISTRY = CONTRACTS[Contract.IDENTITY_REGISTRY.directory_name]


def signed(sequence: int = 0, *revoked: int, key: PrivateKey = KEY, series: str = "3") -> StatusList:
    raw = sign_status_list(
        key,
        issuer=ISSUER,
        fragment="delegate-1",
        id_=f"https://customs.example/status/{series}",
        purpose="revocation",
        sequence=sequence,
        encoded_list=StatusBits.empty().changed(to_set=revoked).encode(),
        issued="2026-03-01T08:00:00Z",
        valid_until="2026-04-01T08:00:00Z",
    )
    return parse_status_list(raw)


def published(one: StatusList) -> EventLog:
    topics = (PUBLISHED.topic, bytes(12) + bytes(one.issuer.address), status_list_id(one.id))
    return EventLog(REGISTRY, topics, encode(["uint64", "bytes32"], [one.sequence, one.digest]))


LISTS = (signed(0, 7), signed(1, 7, 9))
ELSEWHERE = signed(2, series="4")
RECORDED: Mapping[int, tuple[Receipt, ...]] = {
    102: block_of([published(LISTS[0])], [transfer(1)]),
    104: block_of([published(ELSEWHERE), published(LISTS[1])]),
}


class Registry(EventWorld):
    """Blocks in which lists are recorded."""

    @property
    def question(self) -> EventQuestion:
        return EventQuestion(REGISTRY, PUBLISHED.topic, self.first, self.last)


@dataclass
class Ledger:
    """What proves the identity, what proves the records, and the trust roots of both."""

    identity: World
    registry: EventWorld

    @classmethod
    def of(cls, *, sealed: bool = False, last: int = 107, registry: type[EventWorld] = Registry) -> Ledger:
        engine = EngineKind.QBFT if sealed else EngineKind.NO_SEALS
        events = registry(
            engine, validators(4), dict(RECORDED), start=100, first=101, last=last, end=last + 1
        )
        return cls(world_with(key_record(8), sealed=sealed), events)

    def roots(self) -> TrustRoots:
        sealed = self.registry.engine is EngineKind.QBFT
        known = self.identity.roots([10] if sealed else None)
        return replace(known, pinned_blocks={**known.pinned_blocks, **self.registry.roots().pinned_blocks})

    def verify(self, one: StatusList | bytes, at: datetime = AT, **shown: object) -> ListVerdict:
        parts: dict[str, object] = {
            "evidence": self.identity.evidence().encode(),
            "events": self.registry.proof().encode(),
        } | shown
        raw = one if isinstance(one, bytes) else one.raw
        return verify_status_list(raw, self.roots(), at, Shown(**parts))  # type: ignore[arg-type]


PLAIN = Ledger.of()


def test_the_declaration_is_the_contracts() -> None:
    (entry,) = (e for e in artifact("IdentityRegistry").events.values() if e.name == "StatusListPublished")
    assert entry.topic == PUBLISHED.topic
    given = [(p.name, p.type, p.indexed) for p in PUBLISHED.parameters]
    assert given == list(zip(entry.names, entry.types, entry.indexed, strict=True))


def test_the_newest_list_passes_under_seals_and_tells_its_entries() -> None:
    answer = Ledger.of(sealed=True).verify(LISTS[1])
    assert answer.verdict.outcome is Outcome.PASS, answer.verdict.checks
    names = ["list", "period", "key", "signature", "events", "recorded", "newest"]
    assert [check.name for check in answer.verdict.checks] == names
    assert answer.range == (101, 107)
    assert answer.verdict.as_of is not None and answer.verdict.as_of.number == 107
    assert [answer.is_set(index) for index in (7, 8, 9)] == [True, False, True]
    with refused(Reason.STATUS_LIST_RANGE):
        answer.is_set(131_072)


def test_without_seals_it_is_development_only() -> None:
    assert PLAIN.verify(LISTS[1]).verdict.outcome is Outcome.PASS_DEVELOPMENT_ONLY


def test_an_earlier_list_was_the_newest_then_and_is_replaced_later() -> None:
    assert Ledger.of(last=103).verify(LISTS[0]).verdict.outcome.good
    assert_fails(PLAIN.verify(LISTS[0]).verdict, "newest", Reason.STATUS_LIST_REPLACED)


def test_what_the_chain_does_not_record_fails() -> None:
    assert_fails(PLAIN.verify(signed(2)).verdict, "recorded", Reason.STATUS_LIST_NOT_RECORDED)
    other = PLAIN.verify(signed(1, 7)).verdict
    assert_fails(other, "recorded", Reason.STATUS_LIST_RECORDED_OTHERWISE)
    assert_fails(PLAIN.verify(signed(2, series="3")).verdict, "recorded", Reason.STATUS_LIST_NOT_RECORDED)


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (datetime(2026, 2, 1, tzinfo=UTC), Reason.STATUS_LIST_NOT_YET_VALID),
        (datetime(2026, 4, 1, 8, tzinfo=UTC), Reason.STATUS_LIST_EXPIRED),
    ],
)
def test_a_list_out_of_its_time_fails(at: datetime, reason: Reason) -> None:
    assert_fails(PLAIN.verify(LISTS[1], at).verdict, "period", reason)


def test_another_key_fails() -> None:
    forged = signed(1, 7, 9, key=OTHER_KEY)
    assert_fails(PLAIN.verify(forged).verdict, "signature", Reason.STATUS_LIST_SIGNATURE)
    without = Ledger(world_with(), PLAIN.registry)
    assert_fails(without.verify(LISTS[1]).verdict, "key", Reason.ISSUER_KEY_NOT_IN_FORCE)
    pinned = PLAIN.verify(LISTS[1], key=OTHER_KEY.verifying_key)
    assert_fails(pinned.verdict, "signature", Reason.STATUS_LIST_SIGNATURE)


def test_bytes_that_are_no_list_fail_and_say_nothing() -> None:
    answer = PLAIN.verify(LISTS[1].raw[:-1])
    assert_fails(answer.verdict, "list", Reason.STATUS_LIST_MALFORMED)
    assert answer.is_set(7) is None
    assert answer.verdict.check("signature").result is CheckResult.NOT_CHECKED


def test_what_is_not_shown_is_not_checked() -> None:
    assert_undecided(PLAIN.verify(LISTS[1], evidence=None).verdict, "key", Reason.STATUS_LIST_KEY_NOT_SHOWN)
    nothing = PLAIN.verify(LISTS[1], events=None).verdict
    assert_undecided(nothing, "events", Reason.STATUS_LIST_RECORD_NOT_SHOWN)
    assert nothing.check("recorded").result is CheckResult.NOT_CHECKED
    pinned = PLAIN.verify(LISTS[1], evidence=None, key=KEY.verifying_key).verdict
    assert pinned.outcome.good
    assert pinned.notices == ("The issuer's key is the verifier's own word.",)


def test_a_proof_of_other_events_shows_nothing() -> None:
    class Transfers(Registry):
        @property
        def question(self) -> EventQuestion:
            return EventQuestion(REGISTRY, TRANSFER.topic, self.first, self.last)

    other = Ledger.of(registry=Transfers).verify(LISTS[1]).verdict
    assert_fails(other, "events", Reason.OTHER_EVENT)
    assert_fails(Ledger.of(registry=EventWorld).verify(LISTS[1]).verdict, "events", Reason.OTHER_CONTRACT)


def test_a_record_that_was_left_out_of_the_proof_is_missed() -> None:
    """An older list cannot be passed off as the newest by hiding the later record."""
    proof = PLAIN.registry.proof()
    hidden = replace(proof, blocks=tuple(block for block in proof.blocks if block.number != 104))
    answer = PLAIN.verify(LISTS[0], events=hidden.encode()).verdict
    assert_fails(answer, "events", Reason.RECEIPTS_MISSING)
