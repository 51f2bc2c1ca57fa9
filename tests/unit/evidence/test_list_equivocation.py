"""Two status lists of one sequence: proven, naming the issuer's key that signed both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from eth_abi.abi import encode

from silkledger import cbor
from silkledger.evidence.contradiction import contradicting_lists
from silkledger.evidence.equivocation import (
    EquivocationProof,
    Kind,
    decode_equivocation,
    prove_status_lists,
    verify_equivocation,
)
from silkledger.evidence.header import EngineKind
from silkledger.evidence.history_section import HistorySection
from silkledger.evidence.list_equivocation import identity_from
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.keys import PrivateKey, Suite
from silkledger.registry.histories import HistoryRecord
from silkledger.status_list import sign_status_list
from silkledger.values import Did
from tests.unit.evidence.qbft_chain import validators
from tests.unit.evidence.refusals import refused
from tests.unit.evidence.world import CHAIN_ID, World, account

KEY, OTHER_KEY = (PrivateKey(Suite.EDDSA, bytes([number]) * 32) for number in (0x31, 0x32))
MULTIKEY = KEY.verifying_key.to_multikey()
ISSUER = Did.of(CHAIN_ID, account(7).address)
FOR_EVER = 2**63


def list_of(
    bits: str = "uAA",
    *,
    sequence: int = 4,
    key: PrivateKey = KEY,
    fragment: str = "delegate-1",
    series: str = "3",
) -> bytes:
    return sign_status_list(
        key,
        issuer=ISSUER,
        fragment=fragment,
        id_=f"https://customs.example/status/{series}",
        purpose="revocation",
        sequence=sequence,
        encoded_list=bits,
        issued="2026-03-01T08:00:00Z",
    )


def key_record(block: int, key: PrivateKey = KEY, valid_to: int = FOR_EVER) -> HistoryRecord:
    name = b"did/pub/Multikey/veriKey".ljust(32, b"\0")
    value = key.verifying_key.to_multicodec()
    return HistoryRecord(block, encode(["uint8", "bytes32", "bytes", "uint64"], [3, name, value, valid_to]))


def owner_record(block: int, owner: bytes) -> HistoryRecord:
    return HistoryRecord(block, encode(["uint8", "address"], [1, owner]))


def world_with(*records: HistoryRecord, sealed: bool = False) -> World:
    """The small ledger, whose issuer has these records in its identity."""
    world = World(engine=EngineKind.QBFT, members=validators(4), first_header=10) if sealed else World()
    world.identity_record(*records)
    return world


def proof_in(world: World) -> EquivocationProof:
    return contradicting_lists(list_of(), list_of("uAQ"), MULTIKEY, world.evidence().encode())


def pins(world: World) -> TrustRoots:
    return world.roots([10] if world.engine is EngineKind.QBFT else None)


@pytest.mark.parametrize("sealed", [False, True])
def test_the_issuer_is_named_with_the_key_that_signed_both(sealed: bool) -> None:
    world = world_with(key_record(8), sealed=sealed)
    data = proof_in(world).encode()
    found = verify_equivocation(data, pins(world))
    assert found.kind is Kind.STATUS_LISTS
    assert found.signers == (f"{ISSUER}#delegate-1 {MULTIKEY}",)
    assert found.subject == f"status list https://customs.example/status/3, sequence 4, of {ISSUER}"
    assert len(set(found.values)) == 2
    assert found.each_at_fault and found.pinned


def test_whose_key_it_is_is_not_said_without_trust_roots_or_without_identity() -> None:
    world = world_with(key_record(8))
    assert not verify_equivocation(proof_in(world).encode()).pinned
    bare = prove_status_lists(list_of(), list_of("uAQ"), MULTIKEY).encode()
    assert not verify_equivocation(bare, pins(world)).pinned


def test_lists_that_can_both_be() -> None:
    pairs = [
        (list_of(), list_of()),
        (list_of(), list_of("uAQ", sequence=5)),
        (list_of(), list_of("uAQ", series="4")),
        (list_of(), list_of(key=OTHER_KEY)),
    ]
    for one, other in pairs:
        with refused(Reason.NO_CONTRADICTION):
            verify_equivocation(prove_status_lists(one, other, MULTIKEY).encode())
        with refused(Reason.NO_CONTRADICTION):
            contradicting_lists(one, other, MULTIKEY)


def test_a_list_that_the_key_did_not_sign_accuses_nobody() -> None:
    forged = list_of("uAQ", key=OTHER_KEY)
    with refused(Reason.STATUS_LIST_SIGNATURE):
        verify_equivocation(prove_status_lists(list_of(), forged, MULTIKEY).encode())
    with refused(Reason.NO_DOUBLE_SIGNER):
        second = list_of("uAQ", fragment="delegate-2")
        verify_equivocation(prove_status_lists(list_of(), second, MULTIKEY).encode())
    with refused(Reason.PROOF_MALFORMED):
        verify_equivocation(prove_status_lists(list_of(), list_of("uAQ"), "no key").encode())
    with refused(Reason.STATUS_LIST_MALFORMED):
        verify_equivocation(prove_status_lists(list_of(), b"{}", MULTIKEY).encode())


IDENTITIES: dict[str, tuple[tuple[HistoryRecord, ...], Reason]] = {
    "never recorded": ((), Reason.ISSUER_KEY_NOT_IN_FORCE),
    "another key": ((key_record(8, OTHER_KEY),), Reason.ISSUER_KEY_NOT_IN_FORCE),
    "revoked by then": ((key_record(8), key_record(9, valid_to=1)), Reason.ISSUER_KEY_NOT_IN_FORCE),
    "the second key": ((key_record(8, OTHER_KEY), key_record(9)), Reason.ISSUER_KEY_NOT_IN_FORCE),
    "deactivated": ((key_record(8), owner_record(9, bytes(20))), Reason.ISSUER_DEACTIVATED),
    "owner changed": ((key_record(8), owner_record(9, b"\x01" * 20)), Reason.ISSUER_KEY_NOT_IN_FORCE),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_a_key_that_was_not_the_issuers_then(name: str) -> None:
    """Strangers cannot frame an issuer with keys of their own."""
    records, reason = IDENTITIES[name]
    world = world_with(*records)
    with refused(reason):
        verify_equivocation(proof_in(world).encode(), pins(world))


def test_an_identity_of_another_ledger_or_another_history() -> None:
    world = world_with(key_record(8))
    proof, roots = proof_in(world), pins(world)
    assert proof.history is not None
    section = proof.history

    def with_identity(**changes: object) -> bytes:
        return replace(proof, history=replace(section, **changes)).encode()  # type: ignore[arg-type]

    cases: list[tuple[bytes, Reason]] = [
        (with_identity(network=replace(section.network, chain_id=1)), Reason.NETWORK_MISMATCH),
        (with_identity(records=(key_record(9),)), Reason.HISTORY_HEAD),
        (with_identity(records=()), Reason.HISTORY_HEAD),
        (with_identity(headers=section.headers[:-1]), Reason.BLOCK_NOT_PINNED),
        (with_identity(account_proof=()), Reason.PROOF_LENGTH),
        (with_identity(slot_proof=section.slot_proof[:-1]), Reason.PROOF_LENGTH),
    ]
    for data, reason in cases:
        with refused(reason):
            verify_equivocation(data, roots)
    elsewhere = replace(roots, chain_id=1)
    with refused(Reason.ISSUER_OTHER_CHAIN):
        data = with_identity(network=replace(section.network, chain_id=1))
        verify_equivocation(data, elsewhere)


def test_evidence_of_another_issuer_shows_nothing() -> None:
    stranger = World(issuer=account(70))
    assert identity_from(stranger.evidence(), ISSUER) is None
    with refused(Reason.HISTORY_NOT_IN_BUNDLE):
        contradicting_lists(list_of(), list_of("uAQ"), MULTIKEY, stranger.evidence().encode())


def test_no_byte_can_change() -> None:
    world = World(registration=11, as_of=11, first_header=11)
    world.identity_record(key_record(8))
    section = identity_from(world_with(key_record(8)).evidence(), ISSUER)
    assert section is not None
    data = proof_in(world_with(key_record(8))).encode()
    roots = pins(world_with(key_record(8)))
    assert verify_equivocation(data, roots).pinned
    for position in range(0, len(data), 3):
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        with pytest.raises(ValueError):
            verify_equivocation(bytes(changed), roots)


def test_one_form_only() -> None:
    good = proof_in(world_with(key_record(8)))
    data = good.encode()
    assert decode_equivocation(data) == good
    fields = cbor.decode(data)
    inner = fields[5]
    edits: list[Callable[[], object]] = [
        lambda: {**fields, 3: fields[3][::-1]},
        lambda: {**fields, 2: 2},
        lambda: {**fields, 6: 0},
        lambda: {**fields, 4: b""},
        lambda: {**fields, 5: []},
        lambda: {**fields, 5: {**inner, 6: 0}},
        lambda: {**fields, 5: {**inner, 1: {}}},
        lambda: {**fields, 5: {**inner, 1: {**inner[1], 3: b""}}},
        lambda: {**fields, 5: {**inner, 2: []}},
        lambda: {**fields, 5: {**inner, 3: [1]}},
        lambda: {**fields, 5: {**inner, 4: [[1]]}},
        lambda: {**fields, 5: {**inner, 4: [[-1, b""]]}},
        lambda: {**fields, 5: {**inner, 5: 0}},
    ]
    for edit in edits:
        with refused(Reason.PROOF_MALFORMED):
            decode_equivocation(cbor.encode(edit()))


def test_the_section_is_what_the_bundle_holds() -> None:
    world = world_with(key_record(8))
    section = identity_from(world.evidence(), ISSUER)
    assert isinstance(section, HistorySection)
    assert section.records == (key_record(8),)
    assert section.headers == world.evidence().headers
