"""Who the validators are at each height, from the headers alone (QBFT header mode).

The set for block n+1 is the state after block n. Every proposer may carry one vote on one validator; votes
are counted as Besu's `VoteTally` counts them and are forgotten at every epoch block. Two ways to follow the
set: *replay* reads every header; *skip* jumps, and accepts a new set only if enough of the old one sealed.
Sources: EEA QBFT specification 1.0, "Validator set"; Besu `VoteTally`, `VoteTallyUpdater`.

Not guaranteed: keys that were retired long ago can sign another history. Pin recent blocks besides genesis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header
from silkledger.evidence.qbft import extra_data_of, verify_seals
from silkledger.evidence.qbft_extra import Vote
from silkledger.evidence.reasons import Reason
from silkledger.values import Address


@dataclass(frozen=True, slots=True)
class ValidatorRules:
    """What the network's genesis file says about validators."""

    epoch_length: int
    """Blocks. Votes are forgotten at every block whose number is a multiple of it."""
    transitions: Mapping[int, tuple[Address, ...]] = field(default_factory=dict)
    """Block number → the validators from that block on, whatever was voted."""

    def is_epoch(self, number: int) -> bool:
        return number % self.epoch_length == 0


@dataclass(frozen=True, slots=True)
class Lineage:
    """The state after a block: who seals the next one, and the votes that count for it."""

    validators: frozenset[Address]
    adds: Mapping[Address, frozenset[Address]] = field(default_factory=dict)
    """Subject → who votes to add it."""
    drops: Mapping[Address, frozenset[Address]] = field(default_factory=dict)
    """Subject → who votes to drop it."""


def start(header: Header, rules: ValidatorRules) -> Lineage:
    """The state after genesis or another epoch block that is trusted by its hash.

    Such a block names its validators, and no vote outlives it: nothing earlier is needed.

    Raises:
        EvidenceInvalid: LINEAGE_START if the block is no epoch block (votes before it would count).
    """
    if not rules.is_epoch(header.number):
        raise EvidenceInvalid(Reason.LINEAGE_START, f"block {header.number} is no epoch block")
    return _transition(Lineage(frozenset(extra_data_of(header).validators)), header, rules)


def advance(
    state: Lineage, header: Header, rules: ValidatorRules, signers: Sequence[Address] | None = None
) -> Lineage:
    """The state after `header`, which a quorum of `state.validators` MUST have sealed. `signers` as in
    `verify_seals`.

    Raises:
        EvidenceInvalid: what `verify_seals` raises.
    """
    verify_seals(header, tuple(state.validators), signers)
    if rules.is_epoch(header.number):
        state = Lineage(state.validators)
    else:
        vote = extra_data_of(header).vote
        if vote is not None:
            state = _count(state, header.coinbase, vote)
    return _transition(state, header, rules)


def _transition(state: Lineage, header: Header, rules: ValidatorRules) -> Lineage:
    override = rules.transitions.get(header.number + 1)
    return state if override is None else Lineage(frozenset(override))


def _count(state: Lineage, voter: Address, vote: Vote) -> Lineage:
    """Record one vote; change the set when it is the deciding one.

    The threshold is a majority of the set before the change. A decided vote clears the votes about its
    subject; a dropped validator's own votes are cleared as well.
    """
    adds, drops = dict(state.adds), dict(state.drops)
    mine, opposite = (adds, drops) if vote.add else (drops, adds)
    mine[vote.subject] = mine.get(vote.subject, frozenset()) | {voter}
    opposite[vote.subject] = opposite.get(vote.subject, frozenset()) - {voter}
    if len(mine[vote.subject]) < len(state.validators) // 2 + 1:
        return Lineage(state.validators, adds, drops)
    del adds[vote.subject], drops[vote.subject]
    if vote.add:
        return Lineage(state.validators | {vote.subject}, adds, drops)
    return Lineage(
        state.validators - {vote.subject},
        {subject: voters - {vote.subject} for subject, voters in adds.items()},
        {subject: voters - {vote.subject} for subject, voters in drops.items()},
    )


def replay(headers: Sequence[Header], rules: ValidatorRules) -> Lineage:
    """Follow every header. The first one is trusted by its hash; each next MUST be its child and sealed.

    Raises:
        EvidenceInvalid: LINEAGE_START, HEADER_PARENT, and what `advance` raises.
    """
    state = start(headers[0], rules)
    previous = headers[0]
    for header in headers[1:]:
        check_child(previous, header)
        state = advance(state, header, rules)
        previous = header
    return state


def check_child(parent: Header, child: Header) -> None:
    """Raises: EvidenceInvalid HEADER_PARENT unless `child` directly follows `parent`."""
    if child.number != parent.number + 1 or child.parent_hash != parent.hash:
        raise EvidenceInvalid(
            Reason.HEADER_PARENT, f"block {child.number} does not follow block {parent.number}"
        )


def skip(trusted: frozenset[Address], header: Header) -> frozenset[Address]:
    """The validators to trust after jumping to `header` from a block that `trusted` sealed.

    `header` MUST be sealed by ceil(2N/3) of the set it names itself, among them more than a third of
    `trusted`: at least one of those is honest if less than a third of `trusted` is faulty.

    Raises:
        EvidenceInvalid: LINEAGE_SKIP, and what `verify_seals` raises.
    """
    own = extra_data_of(header).validators
    signers = verify_seals(header, own)
    if 3 * len(signers & trusted) <= len(trusted):
        raise EvidenceInvalid(
            Reason.LINEAGE_SKIP,
            f"{len(signers & trusted)} of {len(trusted)} trusted validators sealed block {header.number}",
        )
    return frozenset(own)
