"""A chain as long as one likes, for measuring and for interrupting readers: written once, served by JSON-RPC.

It is no chain that anybody agreed on. But every block is whole: transactions, receipts with blooms, logs as
the contracts' ABI encodes them, the roots of all, headers linked by their hashes. What reads it verifies it
as it verifies the answers of a node. Contents follow from the block number alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from eth_abi.abi import encode

from silkledger.evidence import rlp
from silkledger.evidence.header import EngineKind, decode_header
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.receipts import BLOOM_SIZE, EventLog, Receipt, bloom_of, receipts_root
from silkledger.evm.contracts import CONTRACTS, Network, artifact
from silkledger.evm.transaction_bytes import transactions_root
from silkledger.registry.histories import origin_id
from silkledger.values import Address, BlockHash

CHAIN_ID: Final = 7317
ORIGIN: Final = "silkledger.example/archive"
GENESIS: Final = BlockHash(keccak256(b"genesis of the archive"))
NETWORK: Final = Network(
    CHAIN_ID,
    GENESIS,
    Address(b"\xd1" * 20),
    {name: Address(keccak256(name.encode())[:20]) for name in CONTRACTS},
)
MIX: Final = ("relay", "relay", "payment", "relay", "grant", "relay", "payment", "relay", "grant", "anchor")
"""Kinds of transactions, over and over: 25 events in ten transactions."""
TRANSACTIONS: Final = 40
"""Of one block."""
EVENTS: Final = 100
"""Of one block."""

_TIME_ZERO: Final = 1_700_000_000
_GAS: Final = 100_000
_PLACE: Final = b"@BLOCK-HASH@"
"""Stands in the rendered receipts for the block's hash until it is known."""


def _word(*seed: object) -> bytes:
    return hashlib.sha256(repr(seed).encode()).digest()


def _log(contract: str, event: str, **arguments: Any) -> EventLog:
    """As the contract would emit it."""
    entry = next(item for item in artifact(contract).events.values() if item.name == event)
    fields = list(zip(entry.names, entry.types, entry.indexed, strict=True))
    topics = [encode([kind], [arguments[name]]) for name, kind, indexed in fields if indexed]
    plain = [(kind, arguments[name]) for name, kind, indexed in fields if not indexed]
    data = encode([kind for kind, _ in plain], [value for _, value in plain])
    return EventLog(NETWORK.address(contract), (entry.topic, *topics), data)


def _relay(seed: bytes) -> list[EventLog]:
    key, head, actor = keccak256(seed), keccak256(seed + b"h"), seed[:20]
    record = encode(["uint8", "bytes32", "uint8", "uint64"], [1, seed, 1, 5])
    return [
        _log("DocumentStatus", "HistoryAppended", key=key, head=head, record=record),
        _log(
            "DocumentStatus",
            "StatusChanged",
            actor=actor,
            statementId=seed,
            kind=1,
            reason=1,
            effectiveBlock=5,
            newId=bytes(32),
        ),
        _log("SignedCalls", "Executed", actor=actor, requestId=head, digest=key),
    ]


def _payment(seed: bytes) -> list[EventLog]:
    return [_log("SettlementLedger", "PaymentStateChanged", paymentId=seed, state=1, by=seed[:20], data=seed)]


def _grant(seed: bytes) -> list[EventLog]:
    terms = [seed, seed[:20], b"TH", b"705".ljust(8, b"\0"), 2, 1, 0, bytes(32), False, seed[:20]]
    kinds = [
        "bytes32",
        "address",
        "bytes2",
        "bytes8",
        "uint8",
        "uint64",
        "uint64",
        "bytes32",
        "bool",
        "address",
    ]
    record = encode(["uint8", *kinds], [2, *terms])
    names = ("id", "issuer", "country", "docType", "level", "fromBlock", "untilBlock", "parent")
    told = dict(zip((*names, "maySubaccredit", "by"), terms, strict=True))
    return [
        _log("TrustRegistry", "HistoryAppended", key=keccak256(seed), head=seed, record=record),
        _log("TrustRegistry", "Accredited", **told),
        _log("SignedCalls", "Executed", actor=seed[:20], requestId=seed, digest=seed),
    ]


def _anchor(number: int, index: int) -> list[EventLog]:
    size = (number * TRANSACTIONS + index) * 10
    root, previous = _word("root", size), _word("root", size - 1)
    record = encode(["uint64", "bytes32"], [size, root])
    log = origin_id(ORIGIN)
    return [
        _log("LogAnchor", "HistoryAppended", key=log, head=root, record=record),
        _log(
            "LogAnchor", "Anchored", originId=log, size=size, root=root, prevSize=size - 1, prevRoot=previous
        ),
    ]


def _logs(number: int, index: int) -> list[EventLog]:
    kind, seed = MIX[index % len(MIX)], _word(number, index)
    if kind == "anchor":
        return _anchor(number, index)
    return {"relay": _relay, "payment": _payment, "grant": _grant}[kind](seed)


@dataclasses.dataclass(frozen=True)
class _Body:
    """A block without its place in the chain."""

    number: int
    transactions: list[dict[str, object]]
    transactions_root: bytes
    receipts_root: bytes
    bloom: bytes
    receipts: bytes
    """JSON, with `_PLACE` for the block's hash."""


def body(number: int) -> _Body:
    """Everything of block `number` that does not depend on its parent."""
    raws, told, receipts = [], [], []
    for index in range(TRANSACTIONS):
        raw, fields = _transaction(number, index)
        logs = tuple(_logs(number, index))
        raws.append(raw)
        told.append(fields)
        receipts.append(Receipt(0, True, _GAS * (index + 1), bloom_of(logs), logs))
    bloom = 0
    for receipt in receipts:
        bloom |= int.from_bytes(receipt.logs_bloom, "big")
    rendered = json.dumps(list(_receipts(number, told, receipts))).encode()
    return _Body(
        number,
        told,
        transactions_root(raws),
        receipts_root(receipts),
        bloom.to_bytes(BLOOM_SIZE, "big"),
        rendered,
    )


def _transaction(number: int, index: int) -> tuple[bytes, dict[str, object]]:
    """A legacy transaction; nobody checks its signature, because the header's root covers its bytes."""
    r, s = _word("r", number, index), _word("s", number, index)
    to, data, v = NETWORK.address("SignedCalls"), _word("data", number, index) * 4, 35 + 2 * CHAIN_ID
    numbers = [rlp.encode_int(value) for value in (number * TRANSACTIONS + index, 0, 2_000_000)]
    tail = [
        rlp.encode_int(v),
        rlp.encode_int(int.from_bytes(r, "big")),
        rlp.encode_int(int.from_bytes(s, "big")),
    ]
    raw = rlp.encode([*numbers, bytes(to), b"", data, *tail])
    return raw, {
        "type": "0x0",
        "hash": "0x" + keccak256(raw).hex(),
        "nonce": hex(number * TRANSACTIONS + index),
        "gasPrice": "0x0",
        "gas": hex(2_000_000),
        "to": str(to),
        "value": "0x0",
        "input": "0x" + data.hex(),
        "v": hex(v),
        "r": "0x" + r.hex(),
        "s": "0x" + s.hex(),
    }


def _receipts(
    number: int, told: Sequence[dict[str, object]], receipts: Sequence[Receipt]
) -> Iterator[dict[str, object]]:
    log_index = 0
    for index, (fields, receipt) in enumerate(zip(told, receipts, strict=True)):
        logs = []
        for log in receipt.logs:
            logs.append(
                {
                    "address": str(log.address),
                    "topics": ["0x" + topic.hex() for topic in log.topics],
                    "data": "0x" + log.data.hex(),
                    "blockNumber": hex(number),
                    "blockHash": _PLACE.decode(),
                    "transactionHash": fields["hash"],
                    "transactionIndex": hex(index),
                    "logIndex": hex(log_index),
                    "removed": False,
                }
            )
            log_index += 1
        yield {
            "type": "0x0",
            "status": "0x1",
            "cumulativeGasUsed": hex(receipt.cumulative_gas_used),
            "gasUsed": hex(_GAS),
            "logsBloom": "0x" + receipt.logs_bloom.hex(),
            "logs": logs,
            "transactionHash": fields["hash"],
            "transactionIndex": hex(index),
            "blockHash": _PLACE.decode(),
            "blockNumber": hex(number),
            "to": fields["to"],
            "contractAddress": None,
        }


def _block(found: _Body, parent: BlockHash) -> tuple[BlockHash, dict[str, object]]:
    numbers = (0, found.number, 30_000_000, _GAS * TRANSACTIONS, _TIME_ZERO + found.number)
    fixed = [bytes(parent), bytes(32), bytes(20), bytes(32), found.transactions_root, found.receipts_root]
    items = [*fixed, found.bloom, *map(rlp.encode_int, numbers), b"", bytes(32), bytes(8)]
    header = decode_header(rlp.encode(items), EngineKind.NO_SEALS)
    names = (
        "parentHash",
        "sha3Uncles",
        "miner",
        "stateRoot",
        "transactionsRoot",
        "receiptsRoot",
        "logsBloom",
    )
    fields: dict[str, object] = {name: "0x" + value.hex() for name, value in zip(names, items, strict=False)}
    for name, value in zip(
        ("difficulty", "number", "gasLimit", "gasUsed", "timestamp"), numbers, strict=True
    ):
        fields[name] = hex(value)
    fields |= {"extraData": "0x", "mixHash": "0x" + "00" * 32, "nonce": "0x" + "00" * 8}
    fields |= {"hash": str(header.hash), "transactions": found.transactions}
    return header.hash, fields


def write_archive(path: Path, blocks: int) -> None:
    """Blocks 1 to `blocks` into the file, and where each stands into `<file>.index`."""
    parent, places = GENESIS, []
    with (
        ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool,
        path.open("wb") as file,
    ):
        for found in pool.map(body, range(1, blocks + 1), chunksize=16):
            parent, fields = _block(found, parent)
            for content in (
                json.dumps(fields).encode(),
                found.receipts.replace(_PLACE, str(parent).encode()),
            ):
                places.append([file.tell(), len(content)])
                file.write(content)
    path.with_name(path.name + ".index").write_text(json.dumps(places))


class _Server:
    """Answers what a follower asks."""

    def __init__(self, path: Path, blocks: int) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self._places = json.loads(path.with_name(path.name + ".index").read_text())[: 2 * blocks]

    def _read(self, item: int) -> bytes:
        offset, size = self._places[item]
        return os.pread(self._file, size, offset)

    def _result(self, method: str, params: list[Any]) -> bytes:
        blocks = len(self._places) // 2
        if method == "eth_chainId":
            return json.dumps(hex(CHAIN_ID)).encode()
        if method == "eth_blockNumber":
            return json.dumps(hex(blocks)).encode()
        number = int(params[0], 16)
        if number == 0:
            return json.dumps({"hash": str(GENESIS)}).encode()
        if number > blocks:
            return b"null"
        if method == "eth_getBlockReceipts":
            return self._read(2 * number - 1)
        found = self._read(2 * number - 2)
        if params[1]:
            return found
        fields = json.loads(found)
        return json.dumps(fields | {"transactions": [one["hash"] for one in fields["transactions"]]}).encode()

    async def answer(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        parts = [
            b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (one["id"], self._result(one["method"], one["params"]))
            for one in asked
        ]
        return web.Response(body=b"[" + b",".join(parts) + b"]", content_type="application/json")


def main(path: Path, blocks: int, ready: Path) -> None:
    """Serve the first `blocks` blocks until killed; writes its URL into `ready`."""
    application = web.Application(client_max_size=64 << 20)
    application.router.add_post("/", _Server(path, blocks).answer)

    async def started() -> web.AppRunner:
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        part = ready.with_suffix(".part")
        part.write_text(f"http://127.0.0.1:{port}/")
        part.rename(ready)
        return runner

    loop = asyncio.new_event_loop()
    loop.run_until_complete(started())
    loop.run_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
