"""The follower against a node that lies: nothing of a lie is ever applied, and the truth is afterwards."""

from __future__ import annotations

import dataclasses

import pytest

from silkledger.evidence.keccak import keccak256
from silkledger.evidence.receipts import EventLog
from silkledger.evm.contracts import Network
from silkledger.evm.follower import FinalityViolated, Follower
from silkledger.evm.port import FullBlock, NodeLied
from silkledger.keys.account import Account
from silkledger.runtime.db import Database
from silkledger.values import Address, BlockHash, TxHash
from tests.unit.evm.fake_node import FakeNode, make_block, without_log
from tests.unit.evm.rig import DEEP, Recorder, on_chain, rows, send, settle


def _altered_receipt(block: FullBlock) -> FullBlock:
    first, *rest = block.receipts
    log = first.logs[0]
    logs = (dataclasses.replace(log, data=log.data + b"\x01"), *first.logs[1:])
    return dataclasses.replace(block, receipts=(dataclasses.replace(first, logs=logs), *rest))


def _no_receipts(block: FullBlock) -> FullBlock:
    return dataclasses.replace(block, receipts=(), tx_hashes=())


def _failed_status(block: FullBlock) -> FullBlock:
    first, *rest = block.receipts
    return dataclasses.replace(block, receipts=(dataclasses.replace(first, status=False), *rest))


def _missing_receipt(block: FullBlock) -> FullBlock:
    return dataclasses.replace(block, receipts=block.receipts[1:])


def _bloom_left_as_it_was(block: FullBlock) -> FullBlock:
    first, *rest = block.receipts
    return dataclasses.replace(block, receipts=(dataclasses.replace(first, logs=()), *rest))


def _other_hash(block: FullBlock) -> FullBlock:
    _, *rest = block.tx_hashes
    return dataclasses.replace(block, tx_hashes=(TxHash(b"\xab" * 32), *rest))


def _other_transaction(block: FullBlock) -> FullBlock:
    """With its hash, so that only the root can tell."""
    assert block.transactions is not None
    altered = block.transactions[0] + b"\x01"
    hashes = (TxHash(keccak256(altered)), *block.tx_hashes[1:])
    return dataclasses.replace(block, transactions=(altered, *block.transactions[1:]), tx_hashes=hashes)


LIES = {
    "another transaction hash": (_other_hash, "not those of the transactions"),
    "another transaction": (_other_transaction, "transactions root"),
    "altered receipt": (_altered_receipt, "header's root"),
    "log left out": (without_log, "header's bloom"),
    "log left out, bloom kept": (_bloom_left_as_it_was, "bloom of receipt 0"),
    "status turned": (_failed_status, "header's root"),
    "empty answer": (_no_receipts, "header's bloom"),
    "receipt left out": (_missing_receipt, "receipts of"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_is_never_applied(
    database: Database, fake: FakeNode, network: Network, seen: Recorder, lie: str
) -> None:
    distort, message = LIES[lie]
    fake.logs = lambda signed: (EventLog(Address(b"\x99" * 20), (b"\x01" * 32,), b"payload"),)
    await send(fake, Account.generate(), 0)
    fake.mine(1)
    follower = Follower(database, fake, DEEP, network, [seen])
    await follower.start()
    fake.distort = distort
    with pytest.raises(NodeLied, match=message):
        await follower.step()
    assert await rows(database) == []
    assert follower.head.number == 0

    fake.distort = lambda block: block
    await settle(follower)
    assert await rows(database) == on_chain(fake)


async def test_blocks_of_one_answer_must_follow_each_other(
    database: Database, fake: FakeNode, network: Network
) -> None:
    fake.mine(3)
    follower = Follower(database, fake, DEEP, network)
    await follower.start()
    stranger = make_block(BlockHash(b"\x05" * 32), 2, (), 99)
    fake.distort = lambda block: stranger if block.header.number == 2 else block
    with pytest.raises(NodeLied, match="no child"):
        await follower.step()


async def test_an_unknown_first_block_is_a_conflict_with_the_genesis(
    database: Database, fake: FakeNode, network: Network
) -> None:
    follower = Follower(database, fake, DEEP, network)
    await follower.start()
    fake.blocks = [make_block(BlockHash(b"\x05" * 32), 1, (), 0)]
    with pytest.raises(FinalityViolated):
        await follower.step()
