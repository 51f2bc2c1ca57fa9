"""Authorisation as of a block, explained."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silkledger.registry import histories as h
from silkledger.registry.histories import HistoryMissing, HistoryRecord, RecordInvalid
from silkledger.registry.trust import Authorisation, MappingTrustView, authorised
from silkledger.values import Address, CountryCode, DocumentType
from tests.unit.registry import records as rec

CN, TH = CountryCode("CN"), CountryCode("TH")
BL = DocumentType("705")
AUTHORITY, AGENCY, PORT, DESK, FIFTH = (Address(bytes([i]) * 20) for i in range(1, 6))
A, B, C, D, E = (bytes([i]) * 32 for i in range(0xA, 0xF))


@dataclass
class World:
    """A view that knows that what it does not hold was never recorded."""

    histories: dict[bytes, list[HistoryRecord]] = field(default_factory=dict)

    def records(self, key: bytes) -> list[HistoryRecord]:
        return self.histories.get(key, [])

    def add(self, key: bytes, *items: HistoryRecord) -> World:
        self.histories.setdefault(key, []).extend(items)
        return self

    def country(self, code: CountryCode, block: int = 1) -> World:
        return self.add(h.country_key(code), rec.country(block, code, AUTHORITY))

    def grant(self, grant_id: bytes, issuer: Address, block: int = 2, **more: object) -> World:
        item = rec.grant(block, grant_id, issuer, **{"start": 2, "by": AUTHORITY} | more)  # type: ignore[arg-type]
        return self.add(h.accreditation_key(issuer, BL), item)

    def status(self, grant_id: bytes, block: int, status: int, effective: int) -> World:
        return self.add(
            h.accreditation_status_key(grant_id), rec.grant_status(block, grant_id, status, effective)
        )

    def recognise(self, *items: HistoryRecord) -> World:
        return self.add(h.recognition_key(TH, CN, BL), *items)

    def ask(
        self, issuer: Address = AGENCY, relying: CountryCode = CN, at: int = 10, known: int | None = None
    ) -> Authorisation:
        return authorised(self, issuer, BL, relying, at, at if known is None else known)


def accredited() -> World:
    return World().country(CN).country(TH).grant(A, AGENCY)


def sub_accredited() -> World:
    return accredited().grant(B, PORT, parent=A, by=AGENCY)


def test_at_home_an_accreditation_is_enough() -> None:
    answer = accredited().ask()
    assert (answer.authorised, answer.reason, answer.chain) == (True, "", (A,))
    assert [s.recorded_at for s in answer.steps] == [1, 2]


def test_abroad_the_recognition_is_a_step_and_a_sentence() -> None:
    answer = accredited().recognise(rec.recognition(3, "TH", "CN")).ask(relying=TH)
    assert answer.authorised
    assert answer.steps[-1].statement == "TH recognises CN for 705 from level 1"
    assert answer.steps[-1].statement in answer.explanation


def test_a_chain_is_told_root_first_and_counted_leaf_first() -> None:
    answer = sub_accredited().grant(C, DESK, parent=B, by=PORT).ask(DESK)
    assert answer.chain == (C, B, A)
    assert [s.accreditation_id for s in answer.steps] == [b"", A, B, C]


CASES = [
    ("COUNTRY_UNKNOWN", World().grant(A, AGENCY), AGENCY, CN),
    ("COUNTRY_UNKNOWN", World().country(CN).grant(A, AGENCY), AGENCY, TH),
    ("NOT_ACCREDITED", World().country(CN), AGENCY, CN),
    ("ACCREDITATION_NOT_YET_IN_FORCE", World().country(CN).grant(A, AGENCY, start=11), AGENCY, CN),
    ("ACCREDITATION_EXPIRED", World().country(CN).grant(A, AGENCY, until=10), AGENCY, CN),
    ("ACCREDITATION_SUSPENDED", accredited().status(A, 5, 2, 5), AGENCY, CN),
    ("ACCREDITATION_REVOKED", accredited().status(A, 5, 3, 10), AGENCY, CN),
    ("ACCREDITATION_REVOKED", accredited().status(A, 5, 3, 5).status(A, 6, 1, 6), AGENCY, CN),
    ("PARENT_ACCREDITATION_SUSPENDED", sub_accredited().status(A, 5, 2, 5), PORT, CN),
    ("PARENT_ACCREDITATION_REVOKED", sub_accredited().status(A, 5, 3, 5), PORT, CN),
    (
        "PARENT_ACCREDITATION_EXPIRED",
        World().country(CN).grant(A, AGENCY, until=9).grant(B, PORT, parent=A, by=AGENCY),
        PORT,
        CN,
    ),
    ("PARENT_UNKNOWN", World().country(CN).grant(B, PORT, parent=A, by=AGENCY), PORT, CN),
    (
        "CHAIN_TOO_LONG",
        sub_accredited()
        .grant(C, DESK, parent=B, by=PORT)
        .grant(D, FIFTH, parent=C, by=DESK)
        .grant(E, AUTHORITY, parent=D, by=FIFTH),
        AUTHORITY,
        CN,
    ),
    ("NOT_RECOGNISED", accredited(), AGENCY, TH),
    ("NOT_RECOGNISED", accredited().recognise(rec.recognition(3, "TH", "CN", start=11)), AGENCY, TH),
    ("NOT_RECOGNISED", accredited().recognise(rec.recognition(3, "TH", "CN", until=10)), AGENCY, TH),
    (
        "NOT_RECOGNISED",
        accredited().recognise(rec.recognition(3, "TH", "CN"), rec.withdrawal(4, "TH", "CN", 10)),
        AGENCY,
        TH,
    ),
    ("LEVEL_TOO_LOW", accredited().recognise(rec.recognition(3, "TH", "CN", level=3)), AGENCY, TH),
]


@pytest.mark.parametrize(("reason", "world", "issuer", "relying"), CASES)
def test_refusals_have_stable_reasons(
    reason: str, world: World, issuer: Address, relying: CountryCode
) -> None:
    answer = world.ask(issuer, relying)
    assert (answer.authorised, answer.reason, answer.chain) == (False, reason, ())
    assert reason in answer.explanation
    assert reason in {step.reason for step in answer.steps if not step.holds}


@pytest.mark.parametrize(
    ("world", "at"),
    [
        (World().country(CN).grant(A, AGENCY, start=11), 11),
        (World().country(CN).grant(A, AGENCY, until=10), 9),
        (accredited().status(A, 5, 3, 10), 9),
        (accredited().status(A, 5, 2, 5).status(A, 6, 1, 7), 7),
        (accredited().status(A, 5, 2, 11).status(A, 6, 1, 6), 10),
    ],
)
def test_one_block_beside_a_boundary_it_holds(world: World, at: int) -> None:
    assert world.ask(at=at).authorised


def test_in_force_and_known_are_two_questions() -> None:
    """Revoked at block 20 since block 5: at block 10 nobody could know it."""
    world = accredited().status(A, 20, 3, 5)
    assert world.ask(at=10, known=19).authorised
    assert world.ask(at=10, known=20).reason == "ACCREDITATION_REVOKED"
    assert world.ask(at=4, known=20).authorised


def test_a_later_recognition_replaces_an_earlier_one_only_once_it_begins() -> None:
    world = accredited().recognise(
        rec.recognition(3, "TH", "CN", level=1), rec.recognition(4, "TH", "CN", level=3, start=12)
    )
    assert world.ask(relying=TH, at=11).authorised
    assert world.ask(relying=TH, at=12).reason == "LEVEL_TOO_LOW"


def test_any_one_good_accreditation_is_enough_and_it_is_the_one_told() -> None:
    world = accredited().status(A, 5, 3, 5).grant(B, AGENCY, block=6, level=1)
    assert world.ask().chain == (B,)


def test_of_several_bad_ones_the_nearest_explains() -> None:
    world = World().country(CN).country(TH).grant(A, AGENCY, until=5).grant(B, AGENCY, level=1)
    assert world.recognise(rec.recognition(3, "TH", "CN", level=2)).ask(relying=TH).reason == "LEVEL_TOO_LOW"


def test_a_missing_history_is_not_an_empty_one() -> None:
    whole = accredited().histories
    whole[h.accreditation_status_key(A)] = []
    assert authorised(MappingTrustView(whole), AGENCY, BL, CN, 10, 10).authorised
    for key in (h.country_key(CN), h.accreditation_key(AGENCY, BL), h.accreditation_status_key(A)):
        with pytest.raises(HistoryMissing) as missing:
            authorised(MappingTrustView({k: v for k, v in whole.items() if k != key}), AGENCY, BL, CN, 10, 10)
        assert missing.value.key == key


def test_a_status_record_of_another_accreditation_is_refused() -> None:
    world = accredited().add(h.accreditation_status_key(A), rec.grant_status(5, B, 1, 5))
    with pytest.raises(RecordInvalid):
        world.ask()


@pytest.mark.parametrize(
    "bad",
    [
        rec.country(2, "CN", AUTHORITY),
        rec.grant(2, A, AGENCY, level=0),
        rec.grant(2, A, AGENCY, level=4),
        rec.grant(2, A, AGENCY, code="cn"),
        replace(rec.grant(2, A, AGENCY), record=rec.grant(2, A, AGENCY).record + bytes(32)),
    ],
)
def test_a_record_of_another_shape_is_refused(bad: HistoryRecord) -> None:
    with pytest.raises(RecordInvalid):
        World().country(CN).add(h.accreditation_key(AGENCY, BL), bad).ask()


_statuses = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 12)), max_size=6)


@given(_statuses, st.integers(2, 14), st.integers(2, 9))
def test_what_is_recorded_later_never_changes_what_was_known(
    changes: list[tuple[int, int]], at: int, known: int
) -> None:
    whole, part = accredited(), accredited()
    for block, (status, effective) in enumerate(changes, start=3):
        whole.status(A, block, status, effective)
        if block <= known:
            part.status(A, block, status, effective)
    assert whole.ask(at=at, known=known) == part.ask(at=at, known=known)


@given(_statuses, st.integers(2, 14))
def test_an_answer_is_explained_by_its_steps(changes: list[tuple[int, int]], at: int) -> None:
    world = accredited()
    for block, (status, effective) in enumerate(changes, start=3):
        world.status(A, block, status, effective)
    answer = world.ask(at=at)
    assert answer.authorised == all(step.holds for step in answer.steps) == (answer.reason == "")
    assert all(step.statement in answer.explanation for step in answer.steps)
