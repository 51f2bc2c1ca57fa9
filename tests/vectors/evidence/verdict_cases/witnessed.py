"""Cosignatures by witnesses, and the log's promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from silkledger import cbor, cose
from silkledger.evidence.bundle import Bundle
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.keys import PrivateKey
from silkledger.log.checkpoint import (
    Checkpoint,
    LogVerifierKey,
    NoteKeyType,
    NoteSignature,
    cosign,
    parse_note,
    sign_checkpoint,
)
from silkledger.values import StatementId
from tests.unit.evidence.manifest_world import ManifestWorld
from tests.unit.evidence.witnesses import (
    NAMES,
    pin,
    promise,
    vkey,
    with_cosignatures,
    witness_key,
)
from tests.unit.evidence.world import ORIGIN, World, log_private_key
from tests.vectors.evidence.verdict_cases import Case, case

A, B, C = NAMES


def cases() -> Iterator[Case]:
    yield from _thresholds()
    yield from _lines()
    yield from _keys()
    yield from _promises()
    yield from _contents()


def _roots(world: World, threshold: int, *names: str) -> TrustRoots:
    return replace(world.roots(), witnesses=pin(threshold, names or NAMES))


def _thresholds() -> Iterator[Case]:
    world = World()
    bundle = world.evidence()
    for name, present, roots in (
        ("two-of-three", (A, B), _roots(world, 2)),
        ("one-of-three-asked", (A, B), _roots(world, 1)),
        ("three-asked-two-there", (A, B), _roots(world, 3)),
        ("none-there", (), _roots(world, 1)),
        ("unknown-does-not-count", (A, B), _roots(world, 1, C)),
        ("unknown-beside-pinned", (A, B), _roots(world, 1, A)),
        ("not-pinned", (A, B), world.roots()),
        ("three", NAMES, _roots(world, 3)),
    ):
        yield Case(f"cosigned-{name}", with_cosignatures(bundle, *present).encode(), roots)
    everything = ManifestWorld(checkpoint_size=9)
    full = replace(with_cosignatures(everything.evidence(), A, B), promise=promise(everything))
    yield Case("cosigned-promised-manifest", full.encode(), _roots(everything, 2))


def _lines() -> Iterator[Case]:
    """Lines that are not what is said of them; told whether witnesses are pinned or not."""
    world = World()
    bundle = with_cosignatures(world.evidence(), A, B)
    note = parse_note(bundle.log.checkpoint.decode())
    log, a, b = note.signatures
    bad = NoteSignature(a.name, a.key_id, a.value[:-1] + bytes([a.value[-1] ^ 1]))
    later = NoteSignature(a.name, a.key_id, bytes(7) + b"\1" + a.value[8:])
    other = sign_checkpoint(Checkpoint(ORIGIN, 6, world.tree().root(6)), world.log_key)
    elsewhere = parse_note(cosign(other, A, witness_key(A), 1_800_000_030)).signatures[-1]
    variants: dict[str, tuple[NoteSignature, ...]] = {
        "altered": (log, bad, b),
        "at-another-time": (log, later, b),
        "of-another-head": (log, elsewhere, b),
        "short": (log, NoteSignature(a.name, a.key_id, a.value[:-1]), b),
        "of-a-byte": (log, NoteSignature(a.name, a.key_id, b"\0"), b),
        "time-too-large": (log, NoteSignature(a.name, a.key_id, b"\x80" + a.value[1:]), b),
        "swapped": (log, b, a),
        "one-missing": (log, a),
        "one-too-many": (log, a, b, b),
        "log-not-first": (a, log, b),
        "log-missing": (a, b),
        "other-name": (log, NoteSignature(C, a.key_id, a.value), b),
        "other-key-id": (log, NoteSignature(a.name, bytes(4), a.value), b),
    }
    for name, lines in variants.items():
        text = replace(note, signatures=lines).text().encode()
        changed = replace(bundle, log=replace(bundle.log, checkpoint=text))
        yield Case(f"cosignature-{name}", changed.encode(), _roots(world, 1))
    altered = replace(note, signatures=(log, bad, b)).text().encode()
    changed = replace(bundle, log=replace(bundle.log, checkpoint=altered))
    yield Case("cosignature-altered-not-pinned", changed.encode(), world.roots())


def _keys() -> Iterator[Case]:
    """What stands in the place of a cosigner's verifier key."""
    world = World()
    bundle = with_cosignatures(world.evidence(), A)
    right = str(vkey(A))
    log_type = LogVerifierKey.of(A, witness_key(A).verifying_key, NoteKeyType.ED25519)
    other = LogVerifierKey.of(A, witness_key(B).verifying_key, NoteKeyType.COSIGNATURE_V1)
    for name, text in {
        "malformed": "witness",
        "empty": "",
        "key-id": right.replace("+", "+0", 1),
        "upper-case": right[: len(A) + 1] + right[len(A) + 1 : len(A) + 9].upper() + right[len(A) + 9 :],
        "of-a-log": str(log_type),
        "of-another": str(vkey(B)),
        "of-the-name": str(other),
        "not-canonical": right + "=",
    }.items():
        changed = replace(bundle, log=replace(bundle.log, cosigners=(text,)))
        yield Case(f"cosigner-{name}", changed.encode(), _roots(world, 1))
    both = with_cosignatures(world.evidence(), A, B)
    fields = cbor.decode(both.encode())
    keys = fields[3][4]
    for name, listed in {
        "twice": [keys[0], keys[0]],
        "descending": keys[::-1],
        "none": [],
        "bytes": [b"", b""],
    }.items():
        yield case(f"cosigners-{name}", world, cbor.encode(fields | {3: fields[3] | {4: listed}}))
    yield case("cosigners-version-1", world, cbor.encode(fields | {1: 1}))
    yield case("checkpoint-cosigned-nobody-named", world, _unnamed(both))


def _unnamed(bundle: Bundle) -> Bundle:
    return replace(bundle, log=replace(bundle.log, cosigners=()))


def _promises() -> Iterator[Case]:
    world = World()
    bundle = world.evidence()
    other, third = StatementId(bytes(32)), StatementId(b"\1" * 32)
    good = promise(world)
    for name, made in {
        "good": good,
        "of-three": promise(world, other, world.statement.id, third),
        "of-others": promise(world, other, third),
        "other-key": promise(world, key=log_private_key(2)),
        "other-origin": promise(world, origin="log.example/other"),
        "altered": good[:-1] + bytes([good[-1] ^ 1]),
        "trailing-byte": good + b"\0",
        "empty": b"",
    }.items():
        yield case(f"promise-{name}", world, replace(bundle, promise=made))
    fields = cbor.decode(replace(bundle, promise=good).encode())
    yield case("promise-text", world, cbor.encode(fields | {9: "promise"}))
    yield case("promise-version-1", world, cbor.encode(fields | {1: 1}))


def _contents() -> Iterator[Case]:
    """Promises that the log's key did sign, of a form that no promise has."""
    world = World()
    bundle, good = world.evidence(), cose.parse_sign1(promise(world), limit=8192)
    content = cbor.decode(good.payload or b"")
    payloads: dict[str, bytes] = {
        "unknown-key": cbor.encode(content | {7: 0}),
        "lacks-request": cbor.encode({key: content[key] for key in content if key != 6}),
        "no-ids": cbor.encode(content | {2: []}),
        "id-short": cbor.encode(content | {2: [bytes(31)]}),
        "ids-no-list": cbor.encode(content | {2: bytes(32)}),
        "time-zero": cbor.encode(content | {3: 0}),
        "time-true": cbor.encode(content | {3: True}),
        "times-swapped": cbor.encode(content | {3: content[4] + 1}),
        "time-2-63": cbor.encode(content | {4: 2**63}),
        "organisation": cbor.encode(content | {5: "nobody"}),
        "request-empty": cbor.encode(content | {6: ""}),
        "request-128": cbor.encode(content | {6: "船" * 128}),
        "request-129": cbor.encode(content | {6: "x" * 129}),
        "origin-bytes": cbor.encode(content | {1: b"x"}),
        "origin-other": cbor.encode(content | {1: "log.example/other"}),
        "a-list": cbor.encode([content]),
        "no-cbor": b"\xff",
    }
    for name, payload in payloads.items():
        signed = _signed(world.log_key, good.protected_raw, payload)
        yield case(f"promise-content-{name}", world, replace(bundle, promise=signed))
    header = dict(good.protected)
    for name, changed in {
        "content-type": header | {3: "text/plain"},
        "alg": header | {1: -7},
        "unknown": header | {15: 0},
        "key-id-text": header | {4: "text"},
        "key-id-short": header | {4: bytes(3)},
    }.items():
        signed = _signed(world.log_key, cbor.encode(changed), good.payload or b"")
        yield case(f"promise-header-{name}", world, replace(bundle, promise=signed))
    key, payload = world.log_key, good.payload or b""
    signature = key.sign(cose.sig_structure(good.protected_raw, payload))
    unsigned: dict[int | str, Any] = {99: 0}
    loose = cose.encode_sign1(good.protected_raw, payload, signature, unsigned)
    yield case("promise-unprotected", world, replace(bundle, promise=loose))
    detached = cose.encode_sign1(good.protected_raw, None, signature)
    yield case("promise-detached", world, replace(bundle, promise=detached))


def _signed(key: PrivateKey, protected: bytes, payload: bytes) -> bytes:
    return cose.encode_sign1(protected, payload, key.sign(cose.sig_structure(protected, payload)))
