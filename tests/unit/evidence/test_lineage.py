from __future__ import annotations

from collections.abc import Sequence

import pytest

from silkledger.evidence.header import Header
from silkledger.evidence.lineage import ValidatorRules, replay, skip
from silkledger.evidence.reasons import Reason
from tests.unit.evidence.qbft_chain import Draft, Validator, addresses, validators
from tests.unit.evidence.refusals import refused

FOUR = validators(4)
FIFTH = Validator(50)
FIVE = sorted([*FOUR, FIFTH], key=lambda v: bytes(v.address))
RULES = ValidatorRules(epoch_length=10)
ADD = [bytes(FIFTH.address), b"\xff"]
DROP = [bytes(FIFTH.address), b""]


class Chain:
    """A growing chain of sealed headers."""

    def __init__(self, members: Sequence[Validator], number: int = 0) -> None:
        self.headers: list[Header] = []
        self.members = list(members)
        self.first = number
        self.next()

    def next(self, proposer: Validator | None = None, vote: list[bytes] | None = None) -> Header:
        draft = Draft(
            number=self.first + len(self.headers),
            members=self.members,
            parent=bytes(self.headers[-1].hash) if self.headers else bytes(32),
            proposer=(proposer or self.members[0]).address,
            vote=vote or [],
        )
        self.headers.append(draft.sealed())
        return self.headers[-1]


def test_without_votes_the_set_stays() -> None:
    chain = Chain(FOUR)
    for _ in range(12):
        chain.next()
    assert replay(chain.headers, RULES).validators == frozenset(addresses(FOUR))


def test_a_majority_adds_and_later_drops() -> None:
    chain = Chain(FOUR)
    for proposer in FOUR[:3]:
        chain.next(proposer, ADD)
    assert replay(chain.headers, RULES).validators == frozenset(addresses(FIVE))
    chain.members = list(FIVE)
    chain.next()
    for proposer in FIVE[:3]:
        chain.next(proposer, DROP)
    assert replay(chain.headers, RULES).validators == frozenset(addresses(FOUR))


def test_half_is_not_a_majority_and_a_repeated_vote_counts_once() -> None:
    chain = Chain(FOUR)
    for proposer in (FOUR[0], FOUR[1], FOUR[1], FOUR[0]):
        chain.next(proposer, ADD)
    assert replay(chain.headers, RULES).validators == frozenset(addresses(FOUR))


def test_an_opposite_vote_takes_back() -> None:
    chain = Chain(FOUR)
    chain.next(FOUR[0], ADD)
    chain.next(FOUR[1], ADD)
    chain.next(FOUR[0], DROP)
    chain.next(FOUR[2], ADD)
    assert replay(chain.headers, RULES).validators == frozenset(addresses(FOUR))
    chain.next(FOUR[3], ADD)
    assert replay(chain.headers, RULES).validators == frozenset(addresses(FIVE))


def test_votes_do_not_count_across_an_epoch() -> None:
    chain = Chain(FOUR)
    for _ in range(6):
        chain.next()
    for proposer in (FOUR[0], FOUR[1], FOUR[2], FOUR[3]):
        # Blocks 7, 8, 9 carry three votes if the epoch block 10 is not among them.
        chain.next(proposer, ADD if len(chain.headers) > 7 else None)
    assert chain.headers[-1].number == 10
    chain.next(FOUR[3], ADD)
    assert replay(chain.headers, RULES).validators == frozenset(addresses(FOUR))
    chain.members = list(FIVE)
    chain.next()
    with refused(Reason.QBFT_VALIDATORS):
        replay(chain.headers, RULES)


def test_the_epoch_blocks_own_vote_is_ignored() -> None:
    chain = Chain(FOUR, number=9)
    with refused(Reason.LINEAGE_START):
        replay(chain.headers, RULES)
    chain = Chain(FOUR, number=10)
    chain.next(FOUR[0], ADD)
    chain.next(FOUR[1], ADD)
    assert replay(chain.headers, RULES).validators == frozenset(addresses(FOUR))
    chain.next(FOUR[2], ADD)
    assert replay(chain.headers, RULES).validators == frozenset(addresses(FIVE))


def test_a_dropped_validators_own_votes_are_cleared() -> None:
    other = Validator(60)
    chain = Chain(FIVE)
    chain.next(FIFTH, [bytes(other.address), b"\xff"])
    for proposer in FOUR[:3]:
        chain.next(proposer, DROP)
    chain.members = list(FOUR)
    for proposer in FOUR[:2]:
        chain.next(proposer, [bytes(other.address), b"\xff"])
    assert replay(chain.headers, RULES).validators == frozenset(addresses(FOUR))


def test_transitions_override() -> None:
    rules = ValidatorRules(epoch_length=10, transitions={3: addresses(FIVE)})
    chain = Chain(FOUR)
    chain.next()
    chain.next()
    assert replay(chain.headers, rules).validators == frozenset(addresses(FIVE))
    chain.members = list(FIVE)
    chain.next()
    assert replay(chain.headers, rules).validators == frozenset(addresses(FIVE))
    with refused(Reason.QBFT_VALIDATORS):
        replay(chain.headers, RULES)


def test_a_gap_or_another_parent_is_refused() -> None:
    chain = Chain(FOUR)
    for _ in range(3):
        chain.next()
    with refused(Reason.HEADER_PARENT):
        replay([chain.headers[0], chain.headers[2]], RULES)
    stray = Draft(number=1, members=FOUR, parent=b"\x01" * 32).sealed()
    with refused(Reason.HEADER_PARENT):
        replay([chain.headers[0], stray], RULES)


def test_skip_needs_more_than_a_third_of_the_trusted() -> None:
    seven = sorted([*FOUR, *validators(3, first=200)], key=lambda v: bytes(v.address))
    header = Draft(number=99, members=seven).sealed()
    assert skip(frozenset(addresses(FOUR)), header) == frozenset(addresses(seven))
    few = [v for v in seven if v not in FOUR[1:]]
    one_of_four = Draft(number=99, members=few).sealed()
    with refused(Reason.LINEAGE_SKIP):
        skip(frozenset(addresses(FOUR)), one_of_four)
    with refused(Reason.SEAL_QUORUM):
        skip(frozenset(addresses(FOUR)), Draft(number=99, members=seven).sealed(FOUR))


@pytest.mark.parametrize("overlap", [1, 2])
def test_exactly_a_third_is_not_enough(overlap: int) -> None:
    trusted = validators(3)
    mixed = sorted([*trusted[:overlap], *validators(3, first=300)], key=lambda v: bytes(v.address))
    header = Draft(number=50, members=mixed).sealed()
    if overlap == 1:
        with refused(Reason.LINEAGE_SKIP):
            skip(frozenset(addresses(trusted)), header)
    else:
        assert skip(frozenset(addresses(trusted)), header) == frozenset(addresses(mixed))
