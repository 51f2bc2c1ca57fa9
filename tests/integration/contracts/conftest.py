"""A bare anvil on loopback with one LogAnchor, spoken to over JSON-RPC.

No code of ours stands between test and contract.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode, encode

ROOT = Path(__file__).resolve().parents[3]
FORWARDER = "0x" + "f0" * 20


class Chain:
    """JSON-RPC, in batches."""

    BATCH = 250

    def __init__(self, url: str) -> None:
        self._url = url

    def batch(self, method: str, params: Sequence[list[Any]]) -> list[Any]:
        """Results in order. Raises: AssertionError when any call has none."""
        results: list[Any] = []
        for start in range(0, len(params), self.BATCH):
            calls = [
                {"jsonrpc": "2.0", "id": i, "method": method, "params": item}
                for i, item in enumerate(params[start : start + self.BATCH])
            ]
            body = json.dumps(calls).encode()
            request = urllib.request.Request(self._url, body, {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as reply:
                answers = sorted(json.load(reply), key=lambda answer: int(answer["id"]))
            assert [answer["id"] for answer in answers] == list(range(len(calls)))
            assert all("result" in answer for answer in answers), answers
            results += [answer["result"] for answer in answers]
        return results

    def call(self, method: str, *params: Any) -> Any:
        return self.batch(method, [list(params)])[0]


class LogAnchorContract:
    """The deployed LogAnchor's views, many calls at a time."""

    def __init__(self, chain: Chain, address: str, abi: list[dict[str, Any]]) -> None:
        self._chain = chain
        self._address = address
        self._inputs = {item["name"]: item["inputs"] for item in abi if item["type"] == "function"}

    def ask(self, function: str, questions: Sequence[Sequence[Any]]) -> list[bool]:
        types = [item["type"] for item in self._inputs[function]]
        selector = self._chain.call("web3_sha3", "0x" + f"{function}({','.join(types)})".encode().hex())[:10]
        calls = [
            [{"to": self._address, "data": selector + encode(types, list(item)).hex()}, "latest"]
            for item in questions
        ]
        answers = self._chain.batch("eth_call", calls)
        return [bool(decode(["bool"], bytes.fromhex(answer[2:]))[0]) for answer in answers]


@pytest.fixture(scope="session")
def bare_chain() -> Iterator[Chain]:
    binary = subprocess.run(
        [str(ROOT / "tools" / "toolchain.sh"), "anvil"], check=True, capture_output=True, text=True
    ).stdout.strip()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [binary, "--host", "127.0.0.1", "--port", str(port), "--chain-id", "7317", "--silent"]
    command += ["--gas-price", "0", "--block-base-fee-per-gas", "0", "--accounts", "1"]
    process = subprocess.Popen(command)
    try:
        chain = Chain(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 30
        while True:
            try:
                assert chain.call("eth_chainId") == hex(7317)
                break
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None and time.monotonic() < deadline, "anvil does not answer"
                time.sleep(0.05)
        yield chain
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture(scope="session")
def log_anchor(bare_chain: Chain) -> LogAnchorContract:
    artifact = json.loads((ROOT / "contracts" / "artifacts" / "LogAnchor.json").read_text("utf-8"))
    sender = bare_chain.call("eth_accounts")[0]
    data = artifact["bytecode"] + encode(["address"], [FORWARDER]).hex()
    sent = bare_chain.call(
        "eth_sendTransaction", {"from": sender, "data": data, "gas": "0x7a1200", "gasPrice": "0x0"}
    )
    deadline = time.monotonic() + 30
    while (receipt := bare_chain.call("eth_getTransactionReceipt", sent)) is None:
        assert time.monotonic() < deadline, "the deployment is not mined"
        time.sleep(0.02)
    assert receipt["status"] == "0x1"
    return LogAnchorContract(bare_chain, receipt["contractAddress"], artifact["abi"])
