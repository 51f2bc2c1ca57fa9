"""The bundle that tests/vectors/evidence/record_bundle.py recorded of a real node with the real contracts."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from silkledger.evidence.bundle import decode_bundle
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Assurance, Outcome
from silkledger.evidence.verify import verify_bundle
from silkledger.values import BlockHash, CountryCode, Digest
from tests.unit.evidence.recorded import VECTORS

BUNDLE = (VECTORS / "bundle.cbor").read_bytes()
DIGEST = Digest(sha256((VECTORS / "document.txt").read_bytes()).digest())
ROOTS_TEXT = (VECTORS / "trust-roots.json").read_text()
ROOTS = TrustRoots.from_json(ROOTS_TEXT)


def test_it_passes_for_development_only() -> None:
    verdict = verify_bundle(DIGEST, BUNDLE, ROOTS)
    assert verdict.outcome is Outcome.PASS_DEVELOPMENT_ONLY, verdict.checks
    assert verdict.assurance is Assurance.ENGINE_WITHOUT_SEALS
    assert verify_bundle(DIGEST, BUNDLE, ROOTS, relying_country=CountryCode("CN")).outcome.good


def test_its_forms_are_the_only_ones() -> None:
    assert decode_bundle(BUNDLE).encode() == BUNDLE
    assert ROOTS.to_json() == ROOTS_TEXT


def test_another_genesis_or_unpinned_or_another_document_does_not_pass() -> None:
    other = verify_bundle(DIGEST, BUNDLE, replace(ROOTS, genesis_hash=BlockHash(bytes(32))))
    assert other.check("network").reason == Reason.NETWORK_MISMATCH
    assert verify_bundle(DIGEST, BUNDLE, replace(ROOTS, pinned_blocks={})).outcome is Outcome.INCOMPLETE
    assert verify_bundle(Digest(bytes(32)), BUNDLE, ROOTS).outcome is Outcome.FAIL


def test_a_sample_of_changed_bytes_never_passes() -> None:
    for position in range(0, len(BUNDLE), 23):
        changed = bytearray(BUNDLE)
        changed[position] ^= 0x04
        assert not verify_bundle(DIGEST, bytes(changed), ROOTS).outcome.good, position
