"""TrustRegistry.isAuthorisedAt and registry.trust give the same answer, over a random but fixed history.

The acts are drawn at random, valid and invalid ones alike; what the contract refuses leaves no record. The
Python side sees only the records that HistoryAppended carries, and must also fold each key to its head.
"""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from eth_abi.abi import decode, encode

from silkledger.registry.histories import HistoryRecord, fold_head, keccak256
from silkledger.registry.trust import authorised
from silkledger.values import Address, CountryCode, DocumentType
from tests.integration.contracts.conftest import FORWARDER, ROOT

if TYPE_CHECKING:
    from tests.integration.contracts.conftest import Chain

COUNTRIES = ("CN", "TH", "SG")
DOC_TYPES = (b"705", b"380")
AUTHORITIES = {code: "0x" + f"{i + 1:02x}" * 20 for i, code in enumerate(COUNTRIES)}
ISSUERS = ["0x" + f"{i:02x}" * 20 for i in range(0xA1, 0xA6)]
APPENDED = "0x" + keccak256(b"HistoryAppended(bytes32,bytes32,bytes)").hex()


class Registry:
    """A TrustRegistry that anybody can be made to call."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        artifact = json.loads((ROOT / "contracts" / "artifacts" / "TrustRegistry.json").read_text("utf-8"))
        self.governance = chain.call("eth_accounts")[0]
        self._types = {
            item["name"]: [field["type"] for field in item["inputs"]]
            for item in artifact["abi"]
            if item["type"] == "function"
        }
        data = artifact["bytecode"] + encode(["address", "address"], [FORWARDER, self.governance]).hex()
        self.address = self.receipts([self.send({"from": self.governance, "data": data})])[0][
            "contractAddress"
        ]

    def data(self, function: str, args: list[Any]) -> str:
        types = self._types[function]
        selector = keccak256(f"{function}({','.join(types)})".encode())[:4]
        return "0x" + (selector + encode(types, args)).hex()

    def send(self, transaction: dict[str, Any]) -> str:
        chain = self.chain
        return str(chain.call("eth_sendTransaction", {**transaction, "gas": "0x7a1200", "gasPrice": "0x0"}))

    def act(self, sender: str, function: str, args: list[Any]) -> str:
        return self.send({"from": sender, "to": self.address, "data": self.data(function, args)})

    def receipts(self, hashes: list[str]) -> list[Any]:
        deadline = time.monotonic() + 60
        while None in (found := self.chain.batch("eth_getTransactionReceipt", [[h] for h in hashes])):
            assert time.monotonic() < deadline, "a transaction is not mined"
            time.sleep(0.05)
        return found

    def histories(self) -> dict[bytes, list[HistoryRecord]]:
        query = {"address": self.address, "fromBlock": "0x0", "topics": [APPENDED]}
        found: dict[bytes, list[HistoryRecord]] = defaultdict(list)
        for log in self.chain.call("eth_getLogs", query):
            _, record = decode(["bytes32", "bytes"], bytes.fromhex(log["data"][2:]))
            found[bytes.fromhex(log["topics"][1][2:])].append(
                HistoryRecord(int(log["blockNumber"], 16), record)
            )
        return found


class LatestView:
    """What was never recorded has an empty history: the logs were read to the end."""

    def __init__(self, histories: dict[bytes, list[HistoryRecord]]) -> None:
        self._histories = histories

    def records(self, key: bytes) -> list[HistoryRecord]:
        return self._histories.get(key, [])


def _random_act(rng: random.Random, ids: list[bytes], block: int) -> tuple[str, str, list[Any]]:
    country = rng.choice(COUNTRIES)
    doc_type = rng.choice(DOC_TYPES).ljust(8, b"\0")
    start = max(0, block + rng.randint(-20, 20))
    until = rng.choice([0, 0, start + rng.randint(1, 60)])
    kind = rng.choice(["root", "root", "child", "child", "child", "status", "recognise", "withdraw"])
    if kind == "root" or not ids:
        args = [rng.choice(ISSUERS), country.encode(), doc_type, rng.randint(1, 3), start, until]
        return AUTHORITIES[country], "accredit", [*args, bytes(32), rng.random() < 0.8]
    if kind == "child":
        args = [rng.choice(ISSUERS), country.encode(), doc_type, rng.randint(1, 2), start + 5, until]
        return rng.choice(ISSUERS), "accredit", [*args, rng.choice(ids), rng.random() < 0.8]
    if kind == "status":
        act = rng.choice(["suspend", "suspend", "reinstate", "reinstate", "revoke"])
        return AUTHORITIES[country], act, [rng.choice(ids), start, 6]
    other = rng.choice([code for code in COUNTRIES if code != country])
    if kind == "recognise":
        args = [country.encode(), other.encode(), doc_type, rng.randint(1, 3), start, until]
        return AUTHORITIES[country], "recognise", args
    return AUTHORITIES[country], "withdrawRecognition", [country.encode(), other.encode(), doc_type, start]


def _play(registry: Registry, seed: int, acts: int) -> int:
    """Makes the history; the number of acts that were recorded."""
    rng = random.Random(seed)
    chain = registry.chain
    people = [*AUTHORITIES.values(), *ISSUERS]
    for person in people:
        chain.call("anvil_impersonateAccount", person)
    sent = [
        registry.act(registry.governance, "registerCountry", [code.encode(), AUTHORITIES[code]])
        for code in COUNTRIES
    ]
    registry.receipts(sent)
    ids: list[bytes] = []
    recorded = 0
    for _ in range(acts):
        block = int(chain.call("eth_blockNumber"), 16)
        sender, function, args = _random_act(rng, ids, block)
        (receipt,) = registry.receipts([registry.act(sender, function, args)])
        if receipt["status"] != "0x1":
            continue
        recorded += 1
        if function == "accredit":
            ids.append(bytes.fromhex(receipt["logs"][-1]["topics"][1][2:]))
    return recorded


@pytest.mark.parametrize("seed", [1, 2])
def test_contract_and_library_agree(bare_chain: Chain, seed: int) -> None:
    registry = Registry(bare_chain)
    first = int(bare_chain.call("eth_blockNumber"), 16)
    recorded = _play(registry, seed, acts=160)
    last = int(bare_chain.call("eth_blockNumber"), 16)
    histories = registry.histories()
    for key, records in histories.items():
        head = bare_chain.call(
            "eth_call", {"to": registry.address, "data": registry.data("headOf", [key])}, "latest"
        )
        assert fold_head(records) == bytes.fromhex(head[2:])
    questions = [
        (issuer, doc_type, relying, block)
        for issuer in ISSUERS
        for doc_type in DOC_TYPES
        for relying in (*COUNTRIES, "XX")
        for block in range(max(0, first - 2), last + 40, 3)
    ]
    calls = [
        [
            {
                "to": registry.address,
                "data": registry.data("isAuthorisedAt", [i, d.ljust(8, b"\0"), r.encode(), b]),
            },
            "latest",
        ]
        for i, d, r, b in questions
    ]
    answers = bare_chain.batch("eth_call", calls)
    view = LatestView(histories)
    positive = 0
    for (issuer, doc_type, relying, block), raw in zip(questions, answers, strict=True):
        holds, chain = decode(["bool", "bytes32[]"], bytes.fromhex(raw[2:]))
        ours = authorised(
            view,
            Address.from_hex(issuer),
            DocumentType(doc_type.decode()),
            CountryCode(relying),
            block,
            known_at=2**63,
        )
        assert (ours.authorised, ours.chain) == (holds, tuple(chain)), (issuer, doc_type, relying, block)
        positive += holds
    # The history says something: many acts recorded, and both answers are common.
    assert recorded > 40
    assert len(questions) // 50 < positive < len(questions) * 49 // 50
