"""Anchor event, log key, checkpoint, receipt, registration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from eth_abi.abi import encode

from silkledger import cbor, cose
from silkledger.evidence.bundle import Bundle, Contract
from silkledger.evidence.receipts import prove_receipt
from silkledger.evidence.trust_roots import PinnedLog
from silkledger.keys import PrivateKey
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, sign_checkpoint
from silkledger.log.receipt import make_receipt
from silkledger.registry.histories import HistoryRecord
from tests.unit.evidence.world import ORIGIN, World, log_private_key, origin_record
from tests.vectors.evidence.verdict_cases import Case, case, forged


def cases() -> Iterator[Case]:
    yield from _anchors()
    yield from _keys()
    yield from _receipts()
    yield from _registrations()


def _anchors() -> Iterator[Case]:
    world = World()
    bundle = world.evidence()
    anchor = bundle.anchor
    proofs = [tuple(prove_receipt(world.receipts(), index)) for index in range(3)]
    for name, changed in (
        ("anchor-other-index", replace(anchor, transaction_index=0)),
        ("anchor-beyond", replace(anchor, transaction_index=2**40, receipt_proof=proofs[0])),
        ("anchor-absent", replace(anchor, transaction_index=3, receipt_proof=proofs[1][:1])),
        ("anchor-proof-empty", replace(anchor, receipt_proof=())),
        ("anchor-proof-long", replace(anchor, receipt_proof=(*anchor.receipt_proof, b"\x80"))),
        ("anchor-other-receipt", replace(anchor, transaction_index=2, receipt_proof=proofs[2], log_index=0)),
        ("anchor-other-log", replace(anchor, log_index=0)),
        ("anchor-no-such-log", replace(anchor, log_index=2)),
    ):
        yield case(name, world, replace(bundle, anchor=changed))


def _keys() -> Iterator[Case]:
    world = World()
    bundle, roots, other = world.evidence(), world.roots(), log_private_key(2)
    root = world.tree().root(5)
    foreign = sign_checkpoint(Checkpoint(ORIGIN, 5, root), other).encode()
    yield case("checkpoint-other-key", world, _checkpoint(bundle, foreign))
    elsewhere = sign_checkpoint(Checkpoint("log.example/other", 5, root), world.log_key).encode()
    yield case("checkpoint-other-origin", world, _checkpoint(bundle, elsewhere))
    note = bundle.log.checkpoint
    body, _, line = note.partition(b"\n\n")
    yield case("checkpoint-two-lines", world, _checkpoint(bundle, note + line))
    yield case("checkpoint-extension", world, _checkpoint(bundle, body + b"\nmore\n\n" + line))
    yield case("checkpoint-leading-zero", world, _checkpoint(bundle, note.replace(b"\n5\n", b"\n05\n")))
    yield case("checkpoint-other-size", world, _checkpoint(bundle, note.replace(b"\n5\n", b"\n6\n")))
    yield case("checkpoint-no-utf8", world, _checkpoint(bundle, b"\xff" + note))
    late = World()
    key = next(iter(late.histories[Contract.LOG_ANCHOR]))
    late.histories[Contract.LOG_ANCHOR][key] = [origin_record(21, late.log_key)]
    yield case("log-registered-later", late)
    for name, registered in (("type", b"\x02" + bytes(32)), ("short", b"\x01" + bytes(31))):
        types = ["uint8", "string", "address", "bytes", "bytes32"]
        item = HistoryRecord(4, encode(types, [1, ORIGIN, bytes(20), registered, bytes(32)]))
        yield forged(f"log-key-{name}", World(), Contract.LOG_ANCHOR, key, [item])
    both = [origin_record(4, late.log_key), origin_record(5, late.log_key)]
    yield forged("log-registered-twice", World(), Contract.LOG_ANCHOR, key, both)
    kind = [HistoryRecord(4, bytes(31) + b"\x02" + origin_record(4, late.log_key).record[32:])]
    yield forged("log-registration-kind", World(), Contract.LOG_ANCHOR, key, kind)
    for name, pinned in (("log-pinned", world.log_key), ("log-pinned-other", other)):
        pin = PinnedLog(ORIGIN, str(LogVerifierKey.of(ORIGIN, pinned.verifying_key)))
        yield Case(name, bundle.encode(), replace(roots, log=pin))


def _receipts() -> Iterator[Case]:
    world = World()
    path = world.tree().inclusion_path(2, 5)
    key_id = LogVerifierKey.of(ORIGIN, world.log_key.verifying_key).key_id
    changes: dict[str, dict[str, object]] = {
        "receipt-size-zero": {"size": 0, "path": []},
        "receipt-index": {"index": 5},
        "receipt-path-long": {"path": [*path, bytes(32)]},
        "receipt-path-short": {"path": path[:-1]},
        "receipt-other-path": {"path": [bytes(32), *path[1:]]},
        "receipt-neighbouring-size": {"size": 6},
        "receipt-size-too-large": {"size": 2**63, "path": []},
    }
    for name, changed in changes.items():
        yield case(name, world, _with_receipt(world, _receipt(world, **changed)))  # type: ignore[arg-type]
    yield case("receipt-other-key", world, _with_receipt(world, _receipt(world, log_private_key(2))))
    yield case("receipt-malformed", world, _with_receipt(world, b"\xd2"))
    good = _receipt(world)
    yield case("receipt-trailing-byte", world, _with_receipt(world, good + b"\0"))
    tree = world.tree()
    for name, protected in (
        ("true-for-1", {1: -8, 4: key_id, 395: True}),
        ("another-structure", {1: -8, 4: key_id, 395: 2}),
        ("another-header", {1: -8, 3: "text/plain", 4: key_id, 395: 1}),
    ):
        yield case(
            f"receipt-{name}", world, _with_receipt(world, _signed(world, cbor.encode(protected), path))
        )
    other_root = {"size": 6, "path": tree.inclusion_path(2, 6), "root": tree.root(6)}
    yield case("receipt-of-a-later-size", world, _with_receipt(world, _receipt(world, **other_root)))  # type: ignore[arg-type]


def _registrations() -> Iterator[Case]:
    yield case("anchor-not-first", World(previous_size=3))
    yield case("anchor-does-not-cover", World(leaf_index=6, checkpoint_size=9))
    for size in (4, 9):
        world = World(checkpoint_size=size)
        bundle = world.evidence()
        path = bundle.log.consistency or ()
        yield case(f"checkpoint-{size}-linked", world)
        yield case(f"checkpoint-{size}-without-proof", world, _consistency(bundle, None))
        yield case(f"checkpoint-{size}-empty-proof", world, _consistency(bundle, ()))
        yield case(f"checkpoint-{size}-short-proof", world, _consistency(bundle, path[:-1]))
        yield case(f"checkpoint-{size}-long-proof", world, _consistency(bundle, (*path, bytes(32))))
    plain = World()
    yield case("consistency-not-needed", plain, _consistency(plain.evidence(), ()))


def _checkpoint(bundle: Bundle, note: bytes) -> Bundle:
    return replace(bundle, log=replace(bundle.log, checkpoint=note))


def _consistency(bundle: Bundle, path: tuple[bytes, ...] | None) -> Bundle:
    return replace(bundle, log=replace(bundle.log, consistency=path))


def _receipt(world: World, key: PrivateKey | None = None, **changes: object) -> bytes:
    tree = world.tree()
    given: dict[str, object] = {
        "origin": ORIGIN,
        "size": world.size,
        "index": world.leaf_index,
        "path": tree.inclusion_path(world.leaf_index, world.size),
        "root": tree.root(world.size),
    }
    return make_receipt(key or world.log_key, **(given | changes))  # type: ignore[arg-type]


def _signed(world: World, protected: bytes, path: list[bytes]) -> bytes:
    """A receipt with this protected header, which the log did sign."""
    signature = world.log_key.sign(cose.sig_structure(protected, bytes(world.tree().root(5))))
    proof = cbor.encode([world.size, world.leaf_index, path])
    return cose.encode_sign1(protected, None, signature, {396: {-1: [proof]}})


def _with_receipt(world: World, receipt: bytes) -> Bundle:
    bundle = world.evidence()
    return replace(bundle, log=replace(bundle.log, receipt=receipt))
