"""The node port over JSON-RPC, in batches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from aiohttp import ClientError

from silkledger.evidence import rpc
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import header_from_rpc
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.receipts import Receipt, receipt_from_rpc
from silkledger.evm.engines import EngineProfile
from silkledger.evm.node_http import AnswerTooLarge, HttpProvider, UnmatchedReplies
from silkledger.evm.port import (
    AccountProof,
    Block,
    CallReverted,
    FullBlock,
    Node,
    NodeError,
    NodeLied,
    NodeUnavailable,
    TransactionReceipt,
    TransactionRefused,
)
from silkledger.evm.transaction_bytes import transaction_from_rpc
from silkledger.values import Address, BlockHash, TxHash

__all__ = [
    "AccountProof",
    "Block",
    "CallReverted",
    "FullBlock",
    "JsonRpcNode",
    "Node",
    "NodeError",
    "NodeLied",
    "NodeUnavailable",
    "TransactionReceipt",
    "TransactionRefused",
]

DEFAULT_TIMEOUT_S: Final = 10.0
"""One request, a whole batch included."""

_METHOD_NOT_FOUND: Final = -32601
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})+")


class _RpcError(Exception):
    """The error object of one JSON-RPC reply."""

    def __init__(self, code: int, message: str, data: object) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.data = data


class JsonRpcNode:
    """A node at an HTTP URL. `close` it. Sessions are per event loop: use one instance in one loop."""

    def __init__(self, url: str, profile: EngineProfile, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._profile = profile
        self._provider = HttpProvider(url, timeout_s)

    async def close(self) -> None:
        await self._provider.disconnect()

    async def chain_id(self) -> int:
        return _quantity(await self._ask("eth_chainId"), "chain id")

    async def genesis_hash(self) -> BlockHash:
        with _shape("genesis"):
            block = _mapping(await self._ask("eth_getBlockByNumber", "0x0", False), "genesis")
            return BlockHash(rpc.data(block, "hash", 32))

    async def block_number(self) -> int:
        return _quantity(await self._ask("eth_blockNumber"), "block number")

    async def block(self, number: int) -> Block:
        with _shape(f"block {number}"):
            return self._block(number, await self._ask("eth_getBlockByNumber", hex(number), False))

    async def full_blocks(self, first: int, last: int) -> list[FullBlock]:
        requests: list[tuple[str, list[object]]] = []
        for number in range(first, last + 1):
            requests.append(("eth_getBlockByNumber", [hex(number), self._profile.transactions_root]))
            requests.append(("eth_getBlockReceipts", [hex(number)]))
        replies = [_result(reply) for reply in await self._batch(requests)]
        return [
            self._full_block(first + i, replies[2 * i], replies[2 * i + 1]) for i in range(last - first + 1)
        ]

    async def transaction_receipt(self, tx_hash: TxHash) -> TransactionReceipt | None:
        result = await self._ask("eth_getTransactionReceipt", str(tx_hash))
        if result is None:
            return None
        with _shape("receipt"):
            fields = _mapping(result, "receipt")
            if rpc.data(fields, "transactionHash", 32) != bytes(tx_hash):
                raise NodeLied("the receipt is that of another transaction")
            created = fields.get("contractAddress")
            return TransactionReceipt(
                tx_hash=tx_hash,
                block_number=rpc.quantity(fields, "blockNumber"),
                block_hash=BlockHash(rpc.data(fields, "blockHash", 32)),
                tx_index=rpc.quantity(fields, "transactionIndex"),
                contract_address=None if created is None else Address(rpc.unhex(created, "contract", 20)),
                receipt=receipt_from_rpc(fields),
            )

    async def send_raw(self, raw: bytes) -> TxHash:
        expected = TxHash(keccak256(raw))
        try:
            result = await self._ask_raw("eth_sendRawTransaction", "0x" + raw.hex())
        except _RpcError as error:
            raise TransactionRefused(self._profile.outcome_of(error.message), error.message) from None
        with _shape("transaction hash"):
            if rpc.unhex(result, "transaction hash", 32) != bytes(expected):
                raise NodeLied(f"the node names another hash than {expected} for the bytes it was sent")
        return expected

    async def nonce(self, address: Address, block: int | None = None) -> int:
        result = await self._ask("eth_getTransactionCount", str(address), _at(block))
        return _quantity(result, "transaction count")

    async def code(self, address: Address) -> bytes:
        with _shape("code"):
            return rpc.unhex(await self._ask("eth_getCode", str(address), "latest"), "code")

    async def call(self, to: Address, data: bytes, block: int | None = None) -> bytes:
        request = {"to": str(to), "data": "0x" + data.hex()}
        try:
            result = await self._ask_raw("eth_call", request, _at(block))
        except _RpcError as error:
            if "revert" not in error.message.lower():
                raise NodeUnavailable(f"eth_call: {error}") from None
            raise CallReverted(error.message, _revert_data(error.data)) from None
        with _shape("call result"):
            return rpc.unhex(result, "call result")

    async def get_proof(self, address: Address, slots: Sequence[int], block: int) -> AccountProof:
        keys = ["0x" + slot.to_bytes(32, "big").hex() for slot in slots]
        result = await self._ask("eth_getProof", str(address), keys, hex(block))
        if result is None:
            raise NodeUnavailable(f"the node has no state of block {block} (any more)")
        with _shape("proof"):
            fields = _mapping(result, "proof")
            storage = fields.get("storageProof")
            if not isinstance(storage, list) or len(storage) != len(slots):
                raise NodeLied("the node proves other storage slots than those asked for")
            proofs = {
                slot: _nodes(_mapping(item, "storage proof"), "proof")
                for slot, item in zip(slots, storage, strict=True)
            }
            return AccountProof(address, _nodes(fields, "accountProof"), proofs)

    def _block(self, number: int, result: object) -> Block:
        if result is None:
            raise NodeUnavailable(f"the node has no block {number} (any more)")
        fields = _mapping(result, "block")
        header = header_from_rpc(fields, self._profile.header_kind)
        if header.number != number:
            raise NodeLied(f"asked for block {number}, got {header.number}")
        hashes = fields.get("transactions")
        if not isinstance(hashes, list):
            raise NodeLied(f"block {number} has no list of transactions")
        return Block(header, tuple(TxHash(rpc.unhex(item, "transaction hash", 32)) for item in hashes))

    def _full_block(self, number: int, block_result: object, receipts_result: object) -> FullBlock:
        with _shape(f"block {number}"):
            transactions = None
            if self._profile.transactions_root and block_result is not None:
                block_result, transactions = _whole_transactions(number, _mapping(block_result, "block"))
            block = self._block(number, block_result)
            if receipts_result is None:
                raise NodeUnavailable(f"the node has no receipts of block {number} (any more)")
            if not isinstance(receipts_result, list) or len(receipts_result) != len(block.tx_hashes):
                raise NodeLied(f"block {number}: not one receipt per transaction")
            receipts = tuple(
                _receipt_of(block, index, _mapping(item, "receipt"))
                for index, item in enumerate(receipts_result)
            )
            return FullBlock(block.header, block.tx_hashes, receipts, transactions)

    async def _ask(self, method: str, *params: object) -> object:
        """The result, where an error object means no more than that it cannot be had now."""
        try:
            return await self._ask_raw(method, *params)
        except _RpcError as error:
            raise NodeUnavailable(f"{method}: {error}") from None

    async def _ask_raw(self, method: str, *params: object) -> object:
        (reply,) = await self._batch([(method, list(params))])
        if isinstance(reply, _RpcError):
            raise reply
        return reply

    async def _batch(self, requests: Sequence[tuple[str, list[object]]]) -> list[object]:
        """One reply per request, in order: a result, or an `_RpcError` as a value."""
        try:
            replies = await self._provider.batch(requests)
        except (ClientError, TimeoutError, OSError) as error:
            raise NodeUnavailable(f"the node does not answer ({type(error).__name__})") from error
        except AnswerTooLarge as error:
            raise NodeUnavailable(str(error)) from error
        except UnmatchedReplies as error:
            raise NodeLied(str(error)) from error
        except (ValueError, KeyError, TypeError) as error:
            raise NodeLied(f"the node's answer is not JSON-RPC ({type(error).__name__})") from error
        if not isinstance(replies, list):
            raise NodeUnavailable(f"the node refuses the request: {_error_of(_mapping(replies, 'reply'))}")
        return [_reply(_mapping(item, "reply")) for item in replies]


def _reply(fields: Mapping[str, object]) -> object:
    if fields.get("error") is not None:
        return _error_of(fields)
    if "result" not in fields:
        raise NodeLied("a reply has neither result nor error")
    return fields["result"]


def _error_of(fields: Mapping[str, object]) -> _RpcError:
    error = fields.get("error")
    if not isinstance(error, Mapping):
        raise NodeLied("an error is not an object")
    code = error.get("code")
    return _RpcError(code if isinstance(code, int) else 0, str(error.get("message", "")), error.get("data"))


def _result(reply: object) -> object:
    if isinstance(reply, _RpcError):
        if reply.code == _METHOD_NOT_FOUND:
            raise NodeLied(f"the node lacks a method that its profile promises: {reply}")
        raise NodeUnavailable(str(reply))
    return reply


def _whole_transactions(
    number: int, fields: Mapping[str, object]
) -> tuple[Mapping[str, object], tuple[bytes, ...]]:
    """The block with its transactions' hashes for the transactions, and their bytes, rebuilt."""
    told = fields.get("transactions")
    if not isinstance(told, list):
        raise NodeLied(f"block {number} has no list of transactions")
    raws: list[bytes] = []
    hashes: list[str] = []
    for item in told:
        transaction = _mapping(item, "transaction")
        raws.append(transaction_from_rpc(transaction))
        hashes.append("0x" + keccak256(raws[-1]).hex())
        if rpc.data(transaction, "hash", 32) != keccak256(raws[-1]):
            raise NodeLied(f"block {number}: a transaction's fields do not hash to its hash")
    return {**fields, "transactions": hashes}, tuple(raws)


def _receipt_of(block: Block, index: int, fields: Mapping[str, object]) -> Receipt:
    where = (
        rpc.data(fields, "transactionHash", 32) == bytes(block.tx_hashes[index])
        and rpc.data(fields, "blockHash", 32) == bytes(block.header.hash)
        and rpc.quantity(fields, "transactionIndex") == index
    )
    if not where:
        raise NodeLied(f"block {block.header.number}: receipt {index} belongs elsewhere")
    return receipt_from_rpc(fields)


@contextmanager
def _shape(what: str) -> Iterator[None]:
    """A malformed or self-contradicting answer is the node's fault, not ours."""
    try:
        yield
    except EvidenceInvalid as error:
        raise NodeLied(f"{what}: {error}") from error


def _mapping(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise NodeLied(f"{what}: not an object")
    return value


def _quantity(value: object, what: str) -> int:
    with _shape(what):
        return rpc.quantity({"value": value}, "value")


def _nodes(fields: Mapping[str, object], name: str) -> tuple[bytes, ...]:
    items = fields.get(name)
    if not isinstance(items, list):
        raise NodeLied(f"{name}: not a list")
    return tuple(rpc.unhex(item, name) for item in items)


def _at(block: int | None) -> str:
    return "latest" if block is None else hex(block)


def _revert_data(data: object) -> bytes:
    if isinstance(data, str) and _HEX.fullmatch(data):
        return bytes.fromhex(data[2:])
    return b""
