"""QBFT headers against the bare recoveries of their seals; and whole evidence bundles, with their size."""

from __future__ import annotations

import hashlib
import pathlib
import time
from statistics import median

import coincurve

from bench.measure import Measurement, compare
from silkledger.evidence.header import EngineKind, decode_header
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.lineage import Lineage, ValidatorRules, advance, check_child, start
from silkledger.evidence.qbft import MIX_HASH, OMMERS_HASH, quorum
from silkledger.evidence.qbft_extra import ExtraData
from silkledger.evidence.rlp import encode, encode_int
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verify import verify_bundle
from silkledger.values import Address, Digest

HEADERS = 200
"""Headers a round."""
BUNDLES = 20
"""Bundles a round."""
VECTORS = pathlib.Path(__file__).resolve().parent.parent / "tests/vectors/evidence"


def _signers(count: int) -> list[tuple[Address, coincurve.PrivateKey]]:
    keys = [coincurve.PrivateKey(number.to_bytes(32, "big")) for number in range(1, count + 1)]
    return sorted((Address(keccak256(k.public_key.format(compressed=False)[1:])[12:]), k) for k in keys)


def _raw(number: int, parent: bytes, extra: ExtraData) -> bytes:
    roots = [bytes([fill]) * 32 for fill in (1, 2, 3)]
    numbers = [encode_int(value) for value in (1, number, 30_000_000, 21_000, 1_700_000_000 + number)]
    head = [parent, OMMERS_HASH, bytes(extra.validators[0]), *roots, bytes(256), *numbers]
    return encode([*head, extra.encode(), MIX_HASH, bytes(8), b""])


def _chain(validators: int) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    """Sealed headers from genesis on, and (seal, digest) of each commit seal in them."""
    signers = _signers(validators)
    addresses = tuple(address for address, _ in signers)
    parent, headers, seals = bytes(32), [], []
    for number in range(HEADERS + 1):
        extra = ExtraData(bytes(32), addresses, None, 0, ())
        unsealed = _raw(number, parent, extra)
        digest = keccak256(unsealed)
        made = [key.sign_recoverable(digest, hasher=None) for _, key in signers[: quorum(validators)]]
        seals += [(seal, digest) for seal in made if number]
        headers.append(_raw(number, parent, ExtraData(bytes(32), addresses, None, 0, tuple(made))))
        if not number:
            headers = [unsealed]
        parent = bytes(decode_header(headers[-1], EngineKind.QBFT).hash)
    return headers, seals


def _replay(raw: list[bytes]) -> int:
    """Decode and follow every header, as the offline verifier does."""
    rules = ValidatorRules(30_000)
    previous = decode_header(raw[0], EngineKind.QBFT)
    state: Lineage = start(previous, rules)
    for one in raw[1:]:
        header = decode_header(one, EngineKind.QBFT)
        check_child(previous, header)
        state = advance(state, header, rules)
        previous = header
    return len(raw) - 1


def _header_verify(validators: int) -> Measurement:
    raw, seals = _chain(validators)

    def recover_only() -> int:
        for seal, digest in seals:
            coincurve.PublicKey.from_signature_and_message(seal, digest, hasher=None)
        return HEADERS

    return compare(
        f"header_verify.{validators}",
        "headers/s",
        work=lambda: _replay(raw),
        baseline="bare secp256k1 recoveries of the seals",
        baseline_work=recover_only,
        at_least=0.5,
    )


def _bundle_verify() -> Measurement:
    """The recorded bundle of a real node. Only reported: its size stands in the place of a baseline."""
    data = (VECTORS / "bundle.cbor").read_bytes()
    roots = TrustRoots.from_json((VECTORS / "trust-roots.json").read_bytes())
    digest = Digest(hashlib.sha256((VECTORS / "document.txt").read_bytes()).digest())
    rates = []
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(BUNDLES):
            if not verify_bundle(digest, data, roots).outcome.good:
                raise AssertionError("the recorded bundle does not verify")
        rates.append(BUNDLES / (time.perf_counter() - begin))
    rate = median(rates)
    return Measurement(
        name="bundle_verify",
        value=rate,
        unit="bundles/s",
        baseline="bytes in the bundle",
        baseline_value=len(data),
        ratio=rate / len(data),
        goal="",
        holds=None,
    )


def headers() -> list[Measurement]:
    """`header_verify.4`, `.7`, `.21` and `bundle_verify`."""
    return [*(_header_verify(count) for count in (4, 7, 21)), _bundle_verify()]
