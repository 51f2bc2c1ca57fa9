"""Verifiers that others wrote accept what the log emits, and refuse it altered."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from scitt_cose import verify_receipt

from silkledger.keys import Suite, generate
from silkledger.log.checkpoint import Checkpoint, cosign, sign_checkpoint
from silkledger.log.receipt import make_receipt
from silkledger.log.tiles import Bundle, Tile
from silkledger.log.tree import leaf_hash
from silkledger.mirror.directory import MirrorDirectory
from silkledger.mirror.follow import extend
from tests.support.log_source import ORIGIN, MemoryLog
from tests.support.outside_verifiers.go_tlog import (
    OutsideRefused,
    check_consistency,
    check_inclusion,
    open_note,
    verify_tiles,
)

SIZES = (1, 2, 7, 256, 300)


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    return MemoryLog(max(SIZES))


def pem(log: MemoryLog) -> bytes:
    public = Ed25519PublicKey.from_public_bytes(log.key.verifying_key.public)
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("size", SIZES)
def test_receipts_by_scitt_cose(log: MemoryLog, size: int) -> None:
    tree = log.tree
    for index in {0, size // 2, size - 1}:
        path, root = tree.inclusion_path(index, size), tree.root(size)
        receipt = make_receipt(log.key, origin=ORIGIN, size=size, index=index, path=path, root=root)
        entry = log.all[index].hex()
        result = verify_receipt(receipt, leaf_entry_hex=entry, log_public_key_pem=pem(log))
        assert result.ok, result.errors
        assert (result.tree_size, result.leaf_index, result.root) == (size, index, root.hex())
        other = verify_receipt(receipt, leaf_entry_hex=b"another entry".hex(), log_public_key_pem=pem(log))
        stranger = verify_receipt(receipt, leaf_entry_hex=entry, log_public_key_pem=pem(MemoryLog()))
        assert (other.ok, other.failed_at) == (stranger.ok, stranger.failed_at) == (False, "signature")


async def test_checkpoints_by_go(log: MemoryLog, tmp_path: Path) -> None:
    head = (len(log.all), bytes(log.tree.root()))
    note = await log.checkpoint()
    file = tmp_path / "checkpoint"
    for text in (note, cosign(note, "witness.example/w1", generate(Suite.EDDSA), 1_700_000_000)):
        file.write_text(text)
        assert open_note(str(log.vkey), file) == head
    file.write_text(note.replace(f"\n{head[0]}\n", f"\n{head[0] + 1}\n"))
    with pytest.raises(OutsideRefused, match="invalid signature"):
        open_note(str(log.vkey), file)
    file.write_text(sign_checkpoint(Checkpoint(ORIGIN, *head), generate(Suite.EDDSA)))  # type: ignore[arg-type]
    with pytest.raises(OutsideRefused, match="no verifiable signatures"):
        open_note(str(log.vkey), file)


@pytest.mark.parametrize("size", SIZES)
def test_inclusion_and_consistency_by_go(log: MemoryLog, size: int) -> None:
    tree, whole = log.tree, max(SIZES)
    for index in {0, size - 1}:
        path, root = tree.inclusion_path(index, size), tree.root(size)
        check_inclusion(index, size, leaf_hash(log.all[index]), path, root)
        with pytest.raises(OutsideRefused):
            check_inclusion(index, size, leaf_hash(b"another entry"), path, root)
    path = tree.consistency_path(size, whole)
    check_consistency(size, whole, tree.root(size), tree.root(whole), path)
    with pytest.raises(OutsideRefused):
        check_consistency(size, whole, bytes(32), tree.root(whole), path)


async def test_a_mirror_by_go(log: MemoryLog, tmp_path: Path) -> None:
    mirror = MirrorDirectory(tmp_path)
    await extend(mirror, log, log.vkey)
    assert verify_tiles(str(log.vkey), tmp_path) == (len(log.all), bytes(log.tree.root()))
    for path in (Bundle(0).path(), Tile(0, 0).path(), Tile(1, 0, 1).path()):
        kept = (tmp_path / path).read_bytes()
        (tmp_path / path).write_bytes(kept[:20] + bytes((kept[20] ^ 1,)) + kept[21:])
        with pytest.raises(OutsideRefused):
            verify_tiles(str(log.vkey), tmp_path)
        (tmp_path / path).write_bytes(kept)
