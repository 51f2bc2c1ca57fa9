"""Records blocks, receipts and state proofs of a real node into chain.json.

Run from the repository root: `python tests/vectors/evidence/record_chain.py`. Starts anvil on a free port
of the loopback, makes a few transactions of every type, and writes what the node answers, verbatim.
The tests read only the recorded file.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
ANVIL = ROOT / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
# sstore(0, 42); sstore(7, 1); log2(mem[0:32], topic, caller); return empty code of one STOP byte.
CONTRACT = (
    "0x" + "602a600055" + "6001600755" + "602a600052" + "33" + "7f" + "ab" * 32 + "60206000a2" + "60016000f3"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Rpc:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def __call__(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            answer = json.load(reply)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]


def wait_until_up(rpc: Rpc) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            rpc("eth_chainId")
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def fill(rpc: Rpc) -> str:
    """Block 1: one deployment. Block 2: twenty transactions of three types. Block 3: empty."""
    accounts = rpc("eth_accounts")
    created = rpc(
        "eth_sendTransaction", {"from": accounts[0], "data": CONTRACT, "gas": "0x100000", "gasPrice": "0x0"}
    )
    rpc("evm_mine")
    contract: str = rpc("eth_getTransactionReceipt", created)["contractAddress"]
    for index in range(20):
        sender = accounts[index % len(accounts)]
        call: dict[str, Any] = {"from": sender, "gas": "0x100000"}
        if index % 3 == 0:
            call |= {"data": CONTRACT, "gasPrice": "0x0"}
        elif index % 3 == 1:
            call |= {"to": accounts[3], "value": "0x1", "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x0"}
        else:
            call |= {"to": accounts[4], "value": "0x2", "gasPrice": "0x0", "accessList": []}
        rpc("eth_sendTransaction", call)
    rpc("evm_mine")
    rpc("evm_mine")
    return contract


def record(rpc: Rpc, contract: str) -> dict[str, Any]:
    blocks = [rpc("eth_getBlockByNumber", hex(n), False) for n in range(4)]
    receipts = [rpc("eth_getBlockReceipts", hex(n)) for n in range(4)]
    absent = "0x" + "77" * 20
    slots = [f"0x{slot:064x}" for slot in (0, 7, 5)]
    plain = rpc("eth_accounts")[0]
    proofs = [rpc("eth_getProof", address, slots, "0x2") for address in (contract, plain, absent)]
    return {
        "node": rpc("web3_clientVersion"),
        "blocks": blocks,
        "receipts": receipts,
        "proofsAtBlock2": proofs,
    }


def main() -> None:
    port = free_port()
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--chain-id", "7317", "--no-mining", "--silent"]
    fees = ["--gas-price", "0", "--block-base-fee-per-gas", "0"]
    node = subprocess.Popen([str(ANVIL), *arguments, *fees])
    try:
        rpc = Rpc(port)
        wait_until_up(rpc)
        recorded = record(rpc, fill(rpc))
    finally:
        node.terminate()
        node.wait()
    target = Path(__file__).with_name("chain.json")
    target.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")
    sys.stdout.write(f"{target.relative_to(ROOT)}: {len(recorded['blocks'])} blocks\n")


if __name__ == "__main__":
    main()
