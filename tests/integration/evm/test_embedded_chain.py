"""The embedded chain: its ledger survives stops, kills and damaged files; it never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from eth_account import Account as OtherAccount

from silkledger.evidence.header import header_from_rpc
from silkledger.evidence.state import verify_account, verify_slot
from silkledger.evm.anvil import ChainFailed, EmbeddedChain
from silkledger.evm.engines import ANVIL
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.signer import LocalSigner
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.evm.verify import verify_block
from silkledger.keys.account import Account
from silkledger.registry.histories import history_slot
from silkledger.values import Address
from tests.support.anvil import Deployed, eventually


def blocks(chain: EmbeddedChain) -> list[object]:
    newest = int(chain.rpc("eth_blockNumber"), 16)
    return [chain.rpc("eth_getBlockByNumber", hex(number), False) for number in range(newest + 1)]


async def test_everything_survives_a_restart(
    chain: EmbeddedChain, node: JsonRpcNode, deployed: Deployed
) -> None:
    number = await node.block_number()
    before = blocks(chain)[: number + 1]
    receipts = [chain.rpc("eth_getBlockReceipts", hex(i)) for i in range(number + 1)]
    slot = int.from_bytes(history_slot(bytes(32)), "big")
    anchor = deployed.network.address("LogAnchor")
    proof = await node.get_proof(anchor, [slot], number)
    chain.stop()
    chain.start()
    assert blocks(chain)[: number + 1] == before
    assert [chain.rpc("eth_getBlockReceipts", hex(i)) for i in range(number + 1)] == receipts
    assert await node.get_proof(anchor, [slot], number) == proof
    account = verify_account((await node.block(number)).header.state_root, anchor, proof.account_proof)
    assert verify_slot(account.storage_root, slot, proof.storage_proofs[slot]) == 0
    chain.wait_for(lambda done: done.mined >= 2 and done.dumps >= 2)


def test_a_kill_loses_at_most_the_newest_block(chain: EmbeddedChain) -> None:
    for _ in range(3):
        chain.wait_for(lambda done: done.mined >= 4)
        before = blocks(chain)
        assert chain.pid is not None
        os.kill(chain.pid, signal.SIGKILL)
        with pytest.raises(ChainFailed, match="exit code -9"):
            chain.wait_for(lambda done: False)
        assert chain.failure is not None and str(chain.log_file) in chain.failure
        chain.stop()
        chain.start()
        after = blocks(chain)
        assert after[: len(before) - 1] == before[:-1]


def test_a_damaged_newest_dump_falls_back_by_no_more_than_the_finality_depth(chain: EmbeddedChain) -> None:
    chain.wait_for(lambda done: done.mined >= 5)
    chain.kill()
    newest = chain.directory / "state.gz"
    whole = newest.read_bytes()
    chain.start()
    before = blocks(chain)
    chain.kill()

    newest.write_bytes(whole[: len(whole) // 2])
    chain.start()
    after = blocks(chain)
    assert len(before) - ANVIL.finality_depth <= len(after)
    assert after[: len(before) - ANVIL.finality_depth] == before[: len(before) - ANVIL.finality_depth]


def test_two_damaged_dumps_are_said_and_nothing_is_started(chain: EmbeddedChain) -> None:
    chain.wait_for(lambda done: done.dumps >= 3)
    chain.stop()
    for name in ("state.gz", "state.previous.gz"):
        (chain.directory / name).write_bytes(b"")
    with pytest.raises(ChainFailed, match="damaged"):
        chain.start()
    assert not chain.running


def test_an_unfinished_dump_beside_the_whole_ones_is_ignored(chain: EmbeddedChain) -> None:
    chain.wait_for(lambda done: done.mined >= 3)
    chain.kill()
    (chain.directory / "state.new").write_bytes(b"\x1f\x8b half of a dump")
    chain.start()
    chain.wait_for(lambda done: done.mined >= 2)


def test_a_taken_port_is_said(chain: EmbeddedChain, tmp_path: Path) -> None:
    second = EmbeddedChain(tmp_path / "second", port=chain.port)
    with pytest.raises(ChainFailed, match="taken"):
        second.start()
    assert chain.running


def test_blocks_keep_the_time_of_day(tmp_path: Path) -> None:
    embedded = EmbeddedChain(tmp_path, block_time_s=1.0)
    embedded.start()
    embedded.wait_for(lambda done: done.mined >= 1)
    embedded.stop()
    embedded.start()
    embedded.wait_for(lambda done: done.mined >= 1)
    newest = embedded.rpc("eth_getBlockByNumber", "latest", False)
    assert abs(int(newest["timestamp"], 16) - time.time()) <= 2
    embedded.stop()


async def test_headers_hash_to_what_the_engine_says(
    chain: EmbeddedChain, node: JsonRpcNode, deployed: Deployed
) -> None:
    found = [block for block in blocks(chain)[1:] if isinstance(block, dict)]
    assert found
    for block in found:
        assert str(header_from_rpc(block).hash) == block["hash"]
    assert found[0]["parentHash"] == str(await node.genesis_hash())


async def test_transactions_of_every_type_have_the_headers_root(
    chain: EmbeddedChain, node: JsonRpcNode
) -> None:
    account = Account.generate()
    chain.rpc("anvil_setBalance", str(account.address), hex(10**18))
    common = {"chainId": 7317, "gas": 60_000, "to": "0x" + "77" * 20, "data": "0x01", "value": 0}
    access = [{"address": "0x" + "88" * 20, "storageKeys": ["0x" + "01" * 32]}]
    kinds: list[dict[str, object]] = [
        {"gasPrice": 0},
        {"gasPrice": 0, "type": 1, "accessList": access},
        {"maxFeePerGas": 10, "maxPriorityFeePerGas": 0, "type": 2, "accessList": access},
    ]
    raws: list[bytes] = []
    for nonce, kind in enumerate(kinds):
        signed = OtherAccount.sign_transaction(common | kind | {"nonce": nonce}, account.export_secret())
        raws.append(bytes(signed.raw_transaction))
        await node.send_raw(raws[-1])
    mined = chain.progress.mined
    chain.wait_for(lambda done: done.mined >= mined + 3)
    blocks = await node.full_blocks(1, await node.block_number())
    for block in blocks:
        verify_block(block)
    assert [raw for block in blocks for raw in block.transactions or ()] == raws


async def test_an_account_without_balance_may_send_at_price_zero(
    chain: EmbeddedChain, node: JsonRpcNode
) -> None:
    account = Account.generate()
    assert int(chain.rpc("eth_getBalance", str(account.address), "latest"), 16) == 0
    transaction = Transaction(7317, 0, 0, 50_000, Address(b"\x77" * 20), b"no money")
    signed = await sign_transaction(LocalSigner(account), transaction)
    assert await node.send_raw(signed.raw) == signed.hash

    async def included() -> bool:
        return await node.transaction_receipt(signed.hash) is not None

    await eventually(included, "the transaction is in a block")


def test_the_chain_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\n"
        "from silkledger.evm.anvil import EmbeddedChain\n"
        "chain = EmbeddedChain(pathlib.Path(sys.argv[1]))\n"
        "chain.start()\n"
        "print(chain.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert child.is_running()
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs([child], timeout=10)
    assert gone and not alive
