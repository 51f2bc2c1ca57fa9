"""Validators from a contract's storage: replay, skip, and every way in which the proof falls short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from silkledger.evidence.completeness_verdict import CompletenessVerdict
from silkledger.evidence.contract_lineage import MAX_VALIDATORS, ContractRules
from silkledger.evidence.header import EngineKind, Header, ValidatorsProof, decode_header, encode_proven
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots, TrustRootsError
from silkledger.evidence.verdict import Assurance, Outcome
from silkledger.values import Address
from tests.support.qbft_chain import Validator, in_order, validators
from tests.unit.evidence.contract_world import FIFTH, FOUR, RULES, ContractWorld, strip, words
from tests.unit.evidence.qbft_chain import Draft
from tests.unit.evidence.refusals import assert_fails, assert_undecided, refused

FIVE = in_order([*FOUR, FIFTH])
GROWN = {0: FOUR, 13: FIVE}
"""The contract holds a fifth validator from the end of block 13 on: it seals block 14."""
REPLACED = {0: FOUR, 13: validators(4, first=70)}


def says(answer: CompletenessVerdict, *words_: str) -> bool:
    text = " ".join(answer.verdict.assumptions)
    return all(word in text for word in words_)


def test_by_replay_the_set_follows_the_contract() -> None:
    world = ContractWorld(sets=GROWN)
    answer = world.verify()
    assert answer.verdict.outcome is Outcome.PASS, answer.verdict.checks
    assert answer.verdict.assurance is Assurance.SEALED_BY_QUORUM
    assert says(answer, "contract mode", str(RULES.address), "pinned block 10 by replay", "storage slot 3")
    assert len(answer.events) == 3


def test_a_whole_set_can_be_replaced_between_two_blocks_by_replay() -> None:
    assert ContractWorld(sets=REPLACED).verify().verdict.outcome is Outcome.PASS


def one_skip(**changes: object) -> ContractWorld:
    """From block 10 to 16, of which only hash and state count, and its child 17, the one asked about."""
    base: dict[str, object] = {
        "first": 17,
        "last": 17,
        "proven": frozenset({10, 16}),
        "stripped": frozenset({16}),
        "left_out": frozenset({11, 12, 13, 14, 15}),
    }
    return ContractWorld(**(base | changes))  # type: ignore[arg-type]


def test_by_skip_enough_of_the_trusted_set_must_have_sealed() -> None:
    answer = one_skip(sets=GROWN).verify()
    assert answer.verdict.outcome is Outcome.PASS, answer.verdict.checks
    assert says(answer, "contract mode", "skips")
    replaced = one_skip(sets=REPLACED).verify()
    assert_fails(replaced.verdict, "headers", Reason.LINEAGE_SKIP)


def test_a_skip_with_too_few_of_the_trusted_ones_among_the_sealers() -> None:
    """Two of the old four are still validators, but one alone of them sealed."""
    mixed = in_order([*FOUR[:2], *validators(2, first=70)])
    strangers = [member for member in mixed if member not in FOUR]
    few = one_skip(
        sets={0: FOUR, 13: mixed}, special={17: lambda draft: draft.sealed([mixed_first(mixed), *strangers])}
    )
    assert_fails(few.verify().verdict, "headers", Reason.LINEAGE_SKIP)
    enough = one_skip(sets={0: FOUR, 13: mixed}, special={17: lambda draft: draft.sealed(mixed)})
    assert enough.verify().verdict.outcome is Outcome.PASS


def mixed_first(members: list[Validator]) -> Validator:
    return next(member for member in members if member in FOUR)


def test_a_later_pin_vouches_for_what_stands_before_it() -> None:
    world = ContractWorld(proven=frozenset(range(10, 18)))
    answer = world.verify(roots=world.roots(12))
    assert answer.verdict.outcome is Outcome.PASS, answer.verdict.checks
    assert says(answer, "pinned block 12")


Fault = tuple[Callable[[], ContractWorld], Reason]


def sealed_as(number: int, change: Callable[[Draft], Header]) -> Callable[[], ContractWorld]:
    return lambda: ContractWorld(special={number: change})


FAULTS: dict[str, Fault] = {
    "two of four seals": (sealed_as(14, lambda d: d.sealed(FOUR[:2])), Reason.SEAL_QUORUM),
    "no seals, and nothing reaches it": (
        lambda: ContractWorld(special={17: lambda d: d.sealed([])}),
        Reason.LINEAGE_NO_START,
    ),
    "a seal twice": (sealed_as(14, lambda d: d.sealed([*FOUR[:2], FOUR[1]])), Reason.SEAL_DUPLICATE),
    "a stranger's seal": (sealed_as(14, lambda d: d.sealed([*FOUR, FIFTH])), Reason.SEAL_NOT_VALIDATOR),
    "another round's seal": (
        sealed_as(14, lambda d: replace(d, round=2).with_seals([v.seal(d.digest(round_=1)) for v in FOUR])),
        Reason.SEAL_OTHER_ROUND,
    ),
    "the old set after a change": (
        lambda: ContractWorld(sets=GROWN, special={14: lambda d: replace(d, members=FOUR).sealed(FOUR[:3])}),
        Reason.SEAL_QUORUM,
    ),
    "the new set before its time": (
        lambda: ContractWorld(sets=GROWN, special={13: lambda d: replace(d, members=FIVE).sealed(FIVE)}),
        Reason.SEAL_NOT_VALIDATOR,
    ),
    "a proposer that is none": (
        sealed_as(14, lambda d: replace(d, proposer=FIFTH.address).sealed()),
        Reason.QBFT_PROPOSER,
    ),
    "a header that names validators": (
        sealed_as(14, lambda d: replace(d, listed=None).sealed()),
        Reason.QBFT_NOT_EMPTY,
    ),
    "a header that carries a vote": (
        sealed_as(14, lambda d: replace(d, vote=[bytes(FIFTH.address), b"\xff"]).sealed()),
        Reason.QBFT_NOT_EMPTY,
    ),
    "another difficulty": (
        sealed_as(14, lambda d: replace(d, difficulty=2).sealed()),
        Reason.QBFT_FIXED_FIELD,
    ),
    "no proof at the parent": (
        lambda: ContractWorld(proven=frozenset(range(10, 17)) - {13}),
        Reason.VALIDATORS_NOT_PROVEN,
    ),
    "seals on the pinned header": (
        lambda: _with_entry(10, lambda world, header: encode_proven(header, world.validators_proof(10))),
        Reason.VALIDATORS_NOT_PROVEN,
    ),
    "other code": (lambda: ContractWorld(code_hash=b"\x01" * 32), Reason.VALIDATOR_CONTRACT),
    "an empty set": (lambda: ContractWorld(stored={12: []}), Reason.VALIDATOR_SET),
    "one twice": (lambda: ContractWorld(stored={12: [*words(FOUR), words(FOUR)[0]]}), Reason.VALIDATOR_SET),
    "a zero": (lambda: ContractWorld(stored={12: [*words(FOUR), 0]}), Reason.VALIDATOR_SET),
    "no address": (lambda: ContractWorld(stored={12: [*words(FOUR), 2**160]}), Reason.VALIDATOR_SET),
    "too many": (
        lambda: ContractWorld(stored={12: list(range(1, MAX_VALIDATORS + 2))}),
        Reason.VALIDATOR_SET,
    ),
    "one left out": (
        lambda: _with_proof(12, lambda proof: replace(proof, slots=proof.slots[:-1])),
        Reason.VALIDATOR_SET,
    ),
    "no slots": (lambda: _with_proof(12, lambda proof: replace(proof, slots=())), Reason.VALIDATOR_SET),
    "slots in another order": (
        lambda: _with_proof(
            12, lambda proof: replace(proof, slots=(proof.slots[0], *reversed(proof.slots[1:])))
        ),
        Reason.PROOF_NODE_HASH,
    ),
    "a proof of another block's state": (
        lambda: _with_entry(
            13, lambda world, header: encode_proven(header, world.validators_proof(11)), GROWN
        ),
        Reason.PROOF_NODE_HASH,
    ),
    "an account proof cut short": (
        lambda: _with_proof(12, lambda proof: replace(proof, account=proof.account[:-1])),
        Reason.PROOF_LENGTH,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_its_reason(name: str) -> None:
    make, reason = FAULTS[name]
    assert_not_passed(make().verify(), reason)


def assert_not_passed(answer: CompletenessVerdict, reason: Reason) -> None:
    check = answer.verdict.check("headers")
    assert check.reason == reason, check.detail
    assert not answer.verdict.outcome.good
    assert answer.events == ()


def test_nothing_pinned_proves_the_validators() -> None:
    world = ContractWorld(proven=frozenset(range(11, 17)))
    assert_undecided(world.verify().verdict, "headers", Reason.LINEAGE_NO_START)


def test_other_rules_than_the_network_s() -> None:
    world = ContractWorld()
    elsewhere = replace(RULES, address=Address(b"\x01" * 20))
    assert_not_passed(world.verify(roots=replace(world.roots(), rules=elsewhere)), Reason.PROOF_LENGTH)
    other_slot = replace(RULES, slot=4)
    assert_not_passed(world.verify(roots=replace(world.roots(), rules=other_slot)), Reason.PROOF_LENGTH)


def test_the_modes_do_not_mix() -> None:
    """A proof of validators has no place in header mode, and headers without any none in contract mode."""
    world = ContractWorld()
    header_mode = replace(world.roots(), rules=ValidatorRules(10))
    assert_not_passed(world.verify(roots=header_mode), Reason.HEADER_FIELDS)
    bare = replace(world.proof(), headers=tuple(header.raw for header in world.headers[:-1]))
    assert_undecided(world.verify(bare).verdict, "headers", Reason.LINEAGE_NO_START)
    with refused(Reason.HEADER_FIELDS):
        decode_header(world.entry(world.headers[0]), EngineKind.NO_SEALS)


@pytest.mark.parametrize("make", [one_skip, lambda: ContractWorld(first=11, last=12, end=12)])
def test_no_byte_can_change(make: Callable[[], ContractWorld]) -> None:
    world = make()
    data = world.proof().encode()
    assert world.verify(data).verdict.outcome is Outcome.PASS
    survivors = []
    for position in range(0, len(data), 3):
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        if world.verify(bytes(changed)).verdict.outcome.good:
            survivors.append(position)
    assert survivors == []


def test_stripping_keeps_the_hash() -> None:
    header = ContractWorld(special={12: lambda d: replace(d, round=3).sealed()}).headers[2]
    again = decode_header(strip(header).raw, EngineKind.QBFT)
    assert again.hash == header.hash
    assert again.raw != header.raw


def test_trust_roots_of_contract_mode() -> None:
    roots = ContractWorld().roots()
    assert TrustRoots.from_json(roots.to_json()) == roots
    assert roots.rules == ContractRules(RULES.address, RULES.code_hash, 3)
    for changed in (
        roots.to_json().replace('"slot"', '"slots"'),
        roots.to_json().replace('"kind": "qbft",', '"kind": "qbft", "epochLength": 3,'),
        roots.to_json().replace('"kind": "qbft"', '"kind": "no-seals"'),
        roots.to_json().replace("0x7777", "0x77"),
    ):
        with pytest.raises(TrustRootsError):
            TrustRoots.from_json(changed)


def _with_entry(
    number: int,
    entry: Callable[[ContractWorld, Header], bytes],
    sets: dict[int, list[Validator]] | None = None,
) -> ContractWorld:
    """A world in which one block stands in the evidence as `entry` says."""

    class Changed(ContractWorld):
        def entry(self, header: Header) -> bytes:
            return entry(self, header) if header.number == number else super().entry(header)

    return Changed(sets=sets or {0: FOUR})


def _with_proof(number: int, change: Callable[[ValidatorsProof], ValidatorsProof]) -> ContractWorld:
    return _with_entry(number, lambda w, h: encode_proven(h, change(w.validators_proof(number))))
