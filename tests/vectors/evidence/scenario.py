"""The story that evidence is recorded of, on a real node with the real contracts.

China and Thailand are registered, China accredits an issuer for bills of lading, Thailand recognises that, a
log is registered, and its second anchor registers the issuer's statement; later the issuer may revoke it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from silkledger.evidence.bundle import Bundle, LogSection
from silkledger.evidence.header import EngineKind
from silkledger.evidence.trust_roots import PinnedLog, TrustRoots
from silkledger.evm.capture import CaptureRequest, capture
from silkledger.evm.contracts import Network, encode_call, events_of
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.signer import LocalSigner
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.keys import PrivateKey, Suite
from silkledger.keys.account import Account
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, sign_checkpoint
from silkledger.log.receipt import make_receipt
from silkledger.log.tree import Tree
from silkledger.registry.histories import HistoryRecord, origin_id
from silkledger.statement import SignedStatement, parse_statement, sign_statement
from silkledger.values import CountryCode, Did, Digest, DocumentType

ORIGIN = "log.example/recorded"
BILL = DocumentType("705")
CN, TH = CountryCode("CN"), CountryCode("TH")
DOCUMENT = b"A sample bill of lading, made for this test.\n"
LEAF = 4


def account(number: int) -> Account:
    return Account.from_secret(number.to_bytes(32, "big"))


GOVERNANCE, CHINA, THAILAND, ISSUER, OPERATOR = (account(number) for number in range(101, 106))
LOG_KEY = PrivateKey(Suite.EDDSA, b"\x2a" * 32)


@dataclass
class Told:
    """A chain on which the story has been told up to the registration of the statement."""

    node: JsonRpcNode
    network: Network
    tree: Tree
    statement: SignedStatement
    anchor_block: int

    async def send(self, sender: Account, contract: str, function: str, *args: object) -> int:
        """Send a call directly; its block, once it is in one."""
        return await send(self.node, self.network, sender, contract, function, *args)

    def log_section(self, size: int) -> LogSection:
        root = self.tree.root(size)
        path = self.tree.inclusion_path(LEAF, size)
        receipt = make_receipt(LOG_KEY, origin=ORIGIN, size=size, index=LEAF, path=path, root=root)
        note = sign_checkpoint(Checkpoint(ORIGIN, size, root), LOG_KEY).encode()
        return LogSection(note, receipt, None)

    async def capture(self, as_of: int) -> Bundle:
        request = CaptureRequest(
            self.statement,
            Digest(sha256(DOCUMENT).digest()),
            ORIGIN,
            LEAF,
            self.log_section(6),
            self.anchor_block,
            as_of,
            (CN, TH),
        )
        return await capture(self.node, NodeHistories(self), self.network, EngineKind.NO_SEALS, request)

    async def roots(self, *pinned: int) -> TrustRoots:
        return TrustRoots(
            chain_id=self.network.chain_id,
            genesis_hash=self.network.genesis_hash,
            engine=EngineKind.NO_SEALS,
            rules=None,
            directory=self.network.directory,
            contracts=self.network.addresses,
            pinned_blocks={number: (await self.node.block(number)).header.hash for number in pinned},
            relying_country=TH,
            log=PinnedLog(ORIGIN, str(LogVerifierKey.of(ORIGIN, LOG_KEY.verifying_key))),
        )


class NodeHistories:
    """Histories read from the node's own receipts, without a database."""

    def __init__(self, told: Told) -> None:
        self._told = told

    async def many(
        self, contract: str, keys: Iterable[bytes], known_at: int | None = None
    ) -> dict[bytes, Sequence[HistoryRecord]]:
        found: dict[bytes, Sequence[HistoryRecord]] = {key: [] for key in keys}
        last = await self._told.node.block_number() if known_at is None else known_at
        for block in await self._told.node.full_blocks(1, last):
            logs = [receipt.logs for receipt in block.receipts]
            for event in events_of(self._told.network, block.header.number, block.tx_hashes, logs):
                if (
                    event.contract == contract
                    and event.name == "HistoryAppended"
                    and event.args["key"] in found
                ):
                    record = HistoryRecord(event.block_number, event.args["record"])
                    found[event.args["key"]] = [*found[event.args["key"]], record]
        return found


async def reach(node: JsonRpcNode, number: int) -> None:
    """Wait until the node has block `number`."""
    async with asyncio.timeout(20):
        while await node.block_number() < number:  # noqa: ASYNC110 - as below
            await asyncio.sleep(0.02)


async def send(
    node: JsonRpcNode, network: Network, sender: Account, contract: str, function: str, *args: object
) -> int:
    call = encode_call(contract, function, args)
    nonce = await node.nonce(sender.address)
    transaction = Transaction(network.chain_id, nonce, 0, 2_000_000, network.address(contract), call)
    signed = await sign_transaction(LocalSigner(sender), transaction)
    tx_hash = await node.send_raw(signed.raw)
    receipt = await node.transaction_receipt(tx_hash)
    async with asyncio.timeout(20):
        while receipt is None:
            await asyncio.sleep(0.02)
            receipt = await node.transaction_receipt(tx_hash)
    if not receipt.receipt.status:
        raise RuntimeError(f"{contract}.{function} reverted")
    return receipt.block_number


def make_statement(chain_id: int) -> SignedStatement:
    did = Did.of(chain_id, ISSUER.address)
    return parse_statement(
        sign_statement(
            ISSUER.key,
            issuer=did,
            kid=f"{did}#controller",
            subject="SAMPLE-BL-7",
            document_type=BILL,
            digest=Digest(sha256(DOCUMENT).digest()),
            content_type="text/plain",
            issued_at=1_800_000_000,
            salt=b"\x0c" * 16,
        )
    )


async def tell(node: JsonRpcNode, network: Network) -> Told:
    """Everything up to the anchor that registers the statement."""
    bill = BILL.to_bytes8()
    await send(node, network, GOVERNANCE, "TrustRegistry", "registerCountry", b"CN", CHINA.address)
    await send(node, network, GOVERNANCE, "TrustRegistry", "registerCountry", b"TH", THAILAND.address)
    now = await node.block_number()
    grant = (ISSUER.address, b"CN", bill, 2, now, 0, bytes(32), True)
    await send(node, network, CHINA, "TrustRegistry", "accredit", *grant)
    await send(node, network, THAILAND, "TrustRegistry", "recognise", b"TH", b"CN", bill, 1, now, 0)
    public = b"\x01" + LOG_KEY.verifying_key.public
    await send(node, network, OPERATOR, "LogAnchor", "registerOrigin", ORIGIN, public, bytes(32))
    statement = make_statement(network.chain_id)
    tree = Tree()
    tree.extend([b"entry 0", b"entry 1", b"entry 2"])
    identifier = origin_id(ORIGIN)
    await send(node, network, OPERATOR, "LogAnchor", "anchor", identifier, 3, bytes(tree.root(3)), [])
    tree.extend([b"entry 3", statement.raw, b"entry 5"])
    proof = tree.consistency_path(3, 6)
    block = await send(
        node, network, OPERATOR, "LogAnchor", "anchor", identifier, 6, bytes(tree.root(6)), proof
    )
    return Told(node, network, tree, statement, block)
