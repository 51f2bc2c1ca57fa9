"""The lineage agrees with the test chain, which counts votes by the rule's text, over random votes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silkledger.evidence.lineage import ValidatorRules, replay, skip
from silkledger.evidence.qbft import extra_data_of
from tests.support.qbft_chain import QbftChain, Turn, Validator, validators
from tests.unit.evidence.qbft_chain import Draft

POOL = [Validator(number) for number in range(1, 7)]
LENGTH = 14
RAW = [Draft(number=number, members=POOL[:1]).raw(b"") for number in range(LENGTH)]

VOTES = st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans(), st.integers(0, 2))
"""Whose turn it is among the members, about whom, add or drop, and in which round it was decided."""


class Election(QbftChain):
    """A chain whose turns depend on who the members are by then."""

    def __init__(self, ballots: list[tuple[int, int, bool, int]], epoch_length: int, founders: int) -> None:
        self.ballots = ballots
        super().__init__(RAW, POOL[:founders], epoch_length=epoch_length)

    def _append(self, raw: bytes) -> None:
        number, members = len(self.headers), self._votes.members
        voter, about, add, round_ = self.ballots[number % len(self.ballots)]
        subject = POOL[about]
        sensible = add != (subject in members) and (add or len(members) > 1)
        vote = (subject, add) if sensible and number else None
        self._turns[number] = Turn(proposer=members[voter % len(members)], round=round_, vote=vote)
        super()._append(raw)


@settings(max_examples=15, deadline=None)
@given(st.lists(VOTES, min_size=1, max_size=LENGTH), st.sampled_from([3, 7, 100]), st.integers(1, 4))
def test_replay_follows_every_vote_as_the_chain_counted_it(
    ballots: list[tuple[int, int, bool, int]], epoch_length: int, founders: int
) -> None:
    chain = Election(ballots, epoch_length, founders)
    state = replay(chain.headers, chain.rules)
    assert state.validators == {member.address for member in chain._votes.members}
    for before, header in zip(chain.headers, chain.headers[1:], strict=False):
        trusted = frozenset(extra_data_of(before).validators)
        if 3 * len(trusted & set(extra_data_of(header).validators)) == 3 * len(trusted):
            assert skip(trusted, header) == frozenset(extra_data_of(header).validators)


def test_an_election_does_change_the_set() -> None:
    """The twin: the property above is not about chains on which nothing happens."""
    chain = Election([(voter, 4, True, 0) for voter in range(6)], 100, 4)
    assert len(chain.members[-1]) == 5
    with pytest.raises(ValueError, match="QBFT_VALIDATORS"):
        replay(chain.headers, replace(chain.rules, epoch_length=2))
    assert ValidatorRules(100) == chain.rules
    assert [member.address for member in validators(6)] == sorted(member.address for member in POOL)
