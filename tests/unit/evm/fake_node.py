"""A node for tests: a chain in memory that can be reorganised, that lies, and that loses replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from silkledger.evidence import rlp
from silkledger.evidence.header import EngineKind, decode_header
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.receipts import BLOOM_SIZE, EventLog, Receipt, bloom_of, receipts_root
from silkledger.evm.engines import SendOutcome
from silkledger.evm.port import (
    AccountProof,
    Block,
    FullBlock,
    NodeLied,
    NodeUnavailable,
    TransactionReceipt,
    TransactionRefused,
)
from silkledger.evm.transaction_bytes import transactions_root
from silkledger.evm.transactions import SignedTransaction, decode_signed
from silkledger.values import Address, BlockHash, TxHash

GENESIS = BlockHash(keccak256(b"genesis of the fake chain"))
_TIME_ZERO = 1_700_000_000


def make_block(
    parent: BlockHash,
    number: int,
    entries: Sequence[tuple[TxHash, Receipt]],
    salt: int,
    transactions: tuple[bytes, ...] = (),
) -> FullBlock:
    """A block whose header is right for `entries` and their `transactions`; `salt` makes siblings differ."""
    receipts = tuple(receipt for _, receipt in entries)
    bloom = 0
    for receipt in receipts:
        bloom |= int.from_bytes(receipt.logs_bloom, "big")
    numbers = [
        0,
        number,
        30_000_000,
        receipts[-1].cumulative_gas_used if receipts else 0,
        _TIME_ZERO + number,
    ]
    fixed = [bytes(parent), bytes(32), bytes(20), bytes(32)]
    fixed += [transactions_root(transactions), receipts_root(receipts)]
    tail = [salt.to_bytes(4, "big"), bytes(32), bytes(8)]
    items = [*fixed, bloom.to_bytes(BLOOM_SIZE, "big"), *map(rlp.encode_int, numbers), *tail]
    header = decode_header(rlp.encode(items), EngineKind.NO_SEALS)
    return FullBlock(header, tuple(tx_hash for tx_hash, _ in entries), receipts, transactions)


@dataclass
class FakeNode:
    """A chain under a test's control. `mine` takes what the pool holds and the nonces allow."""

    chain: int = 7317
    genesis: BlockHash = GENESIS
    blocks: list[FullBlock] = field(default_factory=list)
    pool: dict[TxHash, SignedTransaction] = field(default_factory=dict)
    sent: list[TxHash] = field(default_factory=list)
    """Every hand-over that reached the node, in order, repeats included."""
    logs: Callable[[SignedTransaction], tuple[EventLog, ...]] = lambda _: ()
    """Logs that a transaction emits when mined."""
    fails: Callable[[SignedTransaction], bool] = lambda _: False
    distort: Callable[[FullBlock], FullBlock] = lambda block: block
    """How the node alters blocks that it hands out."""
    down: bool = False
    lose_replies: int = 0
    """That many hand-overs are taken, and then not answered."""
    drop_sent: int = 0
    """That many hand-overs are lost before they reach the node."""
    other_hash: bool = False
    """Answers a hand-over with another transaction's hash."""
    bump_percent: int | None = None
    """Least step by which a replacement must outbid, in percent; None: first come, first kept."""
    min_price: int = 0
    pool_limit: int = 1000
    range_limit: int = 1000
    """Most blocks of one answer; a larger range is refused."""
    asked: list[tuple[int, int]] = field(default_factory=list)
    """Every range of full blocks that was asked for, refused ones included."""
    salt: int = 0
    senders: dict[TxHash, tuple[Address, int]] = field(default_factory=dict)
    payloads: dict[TxHash, bytes] = field(default_factory=dict)
    prices: dict[TxHash, int] = field(default_factory=dict)

    def mine(self, count: int = 1, *, empty: bool = False) -> None:
        for _ in range(count):
            entries: list[tuple[TxHash, Receipt]] = []
            gas = 0
            for signed in sorted(self.pool.values(), key=lambda item: item.transaction.nonce):
                expected = self._nonce(signed.sender, entries)
                if empty or signed.transaction.nonce != expected:
                    continue
                gas += 21_000
                logs = () if self.fails(signed) else self.logs(signed)
                receipt = Receipt(0, not self.fails(signed), gas, bloom_of(logs), logs)
                entries.append((signed.hash, receipt))
                self.senders[signed.hash] = (signed.sender, signed.transaction.nonce)
            raws = tuple(self.pool[tx_hash].raw for tx_hash, _ in entries)
            for tx_hash, _ in entries:
                self.pool.pop(tx_hash, None)
            parent = self.blocks[-1].header.hash if self.blocks else self.genesis
            self.blocks.append(make_block(parent, len(self.blocks) + 1, entries, self.salt, raws))

    def reorg(self, depth: int, *, length: int | None = None) -> None:
        """Replace the newest `depth` blocks by `length` empty ones; their transactions are forgotten."""
        del self.blocks[len(self.blocks) - depth :]
        self.pool.clear()
        self.salt += 1
        self.mine(depth if length is None else length, empty=True)

    def included(self) -> list[TxHash]:
        return [tx_hash for block in self.blocks for tx_hash in block.tx_hashes]

    def _nonce(
        self, sender: Address, entries: Sequence[tuple[TxHash, Receipt]], up_to: int | None = None
    ) -> int:
        blocks = self.blocks if up_to is None else self.blocks[:up_to]
        hashes = [h for block in blocks for h in block.tx_hashes] + [h for h, _ in entries]
        return sum(1 for tx_hash in hashes if self.senders[tx_hash][0] == sender)

    def _up(self) -> None:
        if self.down:
            raise NodeUnavailable("the fake node is down")

    async def chain_id(self) -> int:
        self._up()
        return self.chain

    async def genesis_hash(self) -> BlockHash:
        self._up()
        return self.genesis

    async def block_number(self) -> int:
        self._up()
        return len(self.blocks)

    async def block(self, number: int) -> Block:
        self._up()
        full = self._block(number)
        return Block(full.header, full.tx_hashes)

    async def full_blocks(self, first: int, last: int) -> list[FullBlock]:
        self.asked.append((first, last))
        self._up()
        if last - first + 1 > self.range_limit:
            raise NodeUnavailable("the batch is too large")
        return [self._block(number) for number in range(first, last + 1)]

    def _block(self, number: int) -> FullBlock:
        if not 0 < number <= len(self.blocks):
            raise NodeUnavailable(f"no block {number}")
        return self.distort(self.blocks[number - 1])

    async def transaction_receipt(self, tx_hash: TxHash) -> TransactionReceipt | None:
        raise NotImplementedError

    async def send_raw(self, raw: bytes) -> TxHash:
        self._up()
        signed = decode_signed(raw)
        if self.drop_sent:
            self.drop_sent -= 1
            raise NodeUnavailable("the request was lost")
        self.sent.append(signed.hash)
        self.payloads[signed.hash] = signed.transaction.data
        self.prices[signed.hash] = signed.transaction.gas_price
        self._accept(signed)
        if self.lose_replies:
            self.lose_replies -= 1
            raise NodeUnavailable("the reply was lost")
        if self.other_hash:
            raise NodeLied("the node names another hash")
        return signed.hash

    def _accept(self, signed: SignedTransaction) -> None:
        nonce, price = signed.transaction.nonce, signed.transaction.gas_price
        if signed.hash in self.pool:
            raise TransactionRefused(SendOutcome.KNOWN, "already known")
        if nonce < self._nonce(signed.sender, ()):
            raise TransactionRefused(SendOutcome.NONCE_USED, "nonce too low")
        if price < self.min_price:
            raise TransactionRefused(SendOutcome.UNDERPRICED, "gas price too low")
        for other in list(self.pool.values()):
            if (other.sender, other.transaction.nonce) != (signed.sender, nonce):
                continue
            floor = other.transaction.gas_price * (100 + (self.bump_percent or 0))
            if self.bump_percent is None or price * 100 < floor:
                raise TransactionRefused(SendOutcome.UNDERPRICED, "replacement transaction underpriced")
            del self.pool[other.hash]
        if len(self.pool) >= self.pool_limit:
            raise TransactionRefused(SendOutcome.FULL, "pool is full")
        self.pool[signed.hash] = signed

    async def nonce(self, address: Address, block: int | None = None) -> int:
        self._up()
        return self._nonce(address, (), block)

    async def code(self, address: Address) -> bytes:
        raise NotImplementedError

    async def call(self, to: Address, data: bytes, block: int | None = None) -> bytes:
        raise NotImplementedError

    async def get_proof(self, address: Address, slots: Sequence[int], block: int) -> AccountProof:
        raise NotImplementedError

    async def close(self) -> None:
        return None


def without_log(block: FullBlock) -> FullBlock:
    """The first log of the block left out, with its bloom made to fit."""
    first, *rest = block.receipts
    logs = first.logs[1:]
    return replace(block, receipts=(replace(first, logs=logs, logs_bloom=bloom_of(logs)), *rest))
