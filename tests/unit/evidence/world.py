"""A small ledger built in memory: contracts' histories, state, receipts, log, headers, and evidence of it.

Default story: China's authority accredits an issuer for bills of lading (705) and Thailand recognises that.
The issuer's statement is leaf 2 of a log whose head of size 5 is anchored in block 20, of 24 blocks.
Change any part before calling `evidence()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from eth_abi.abi import encode

from silkledger.evidence import rlp
from silkledger.evidence.anchor import ANCHORED_TOPIC
from silkledger.evidence.assemble import (
    Histories,
    Parts,
    StateParts,
    assemble,
    find_anchor,
    missing_histories,
    slot_of,
)
from silkledger.evidence.bundle import Bundle, Contract, LogSection, NetworkSection
from silkledger.evidence.document import read_statement
from silkledger.evidence.header import EngineKind, Header, decode_header
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evidence.receipts import EventLog, Receipt, bloom_of, receipts_root
from silkledger.evidence.trie import Trie
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Verdict
from silkledger.evidence.verify import verify_bundle
from silkledger.keys import PrivateKey, Suite
from silkledger.keys.account import Account
from silkledger.log.checkpoint import Checkpoint, sign_checkpoint
from silkledger.log.receipt import make_receipt
from silkledger.log.tree import Tree
from silkledger.manifest import SignedManifest
from silkledger.registry.histories import (
    HistoryRecord,
    accreditation_key,
    country_key,
    document_status_key,
    fold_head,
    identity_key,
    keccak256,
    origin_id,
    recognition_key,
)
from silkledger.statement import SignedStatement, sign_statement
from silkledger.values import Address, BlockHash, CountryCode, Did, Digest, DocumentType
from tests.unit.evidence.qbft_chain import Draft, Validator, validators
from tests.unit.registry import records

CHAIN_ID = 7317
ORIGIN = "log.example/test"
CN, TH = CountryCode("CN"), CountryCode("TH")
BILL = DocumentType("705")
GENESIS = BlockHash(b"\x47" * 32)
DIRECTORY = Address(b"\xd1" * 20)
CONTRACTS = {contract.directory_name: Address(bytes([int(contract)]) * 20) for contract in Contract}
START = 1_800_000_000
"""Time of block 0; one block a second."""
GRANT = b"\x6a" * 32
DOCUMENT = b"a sample bill of lading"


def account(number: int) -> Account:
    return Account.from_secret(number.to_bytes(32, "big"))


def log_private_key(number: int = 1) -> PrivateKey:
    return PrivateKey(Suite.EDDSA, bytes([number]) * 32)


def origin_record(block: int, key: PrivateKey, origin: str = ORIGIN) -> HistoryRecord:
    types = ["uint8", "string", "address", "bytes", "bytes32"]
    public = b"\x01" + key.verifying_key.public
    return HistoryRecord(block, encode(types, [1, origin, bytes(20), public, bytes(32)]))


def key_record(block: int, kind: int, key: PrivateKey) -> HistoryRecord:
    """Kind 2: the key is added, 3: ended."""
    return HistoryRecord(block, encode(["uint8", "bytes"], [kind, b"\x01" + key.verifying_key.public]))


@dataclass
class World:
    """Everything that evidence is about. Blocks are numbered; `as_of` is the newest."""

    engine: EngineKind = EngineKind.NO_SEALS
    members: Sequence[Validator] = field(default_factory=lambda: validators(4))
    registration: int = 20
    as_of: int = 24
    issuer: Account = field(default_factory=lambda: account(7))
    authority: Account = field(default_factory=lambda: account(8))
    log_key: PrivateKey = field(default_factory=log_private_key)
    size: int = 5
    previous_size: int = 2
    leaf_index: int = 2
    checkpoint_size: int | None = None
    relying: tuple[CountryCode, ...] = (TH, CN)
    first_header: int | None = None
    sparse: bool = False
    """Put in only the headers that are needed, not all between."""

    def __post_init__(self) -> None:
        did = Did.of(CHAIN_ID, self.issuer.address)
        self.statement: SignedStatement | SignedManifest = read_statement(self.sign(self.issuer, did))
        authority, issuer = bytes(self.authority.address), bytes(self.issuer.address)
        self.histories: dict[Contract, dict[bytes, list[HistoryRecord]]] = {
            Contract.LOG_ANCHOR: {origin_id(ORIGIN): [origin_record(4, self.log_key)]},
            Contract.IDENTITY_REGISTRY: {},
            Contract.TRUST_REGISTRY: {
                country_key(CN): [records.country(5, "CN", authority)],
                country_key(TH): [records.country(5, "TH", b"\x01" * 20)],
                accreditation_key(self.issuer.address, BILL): [
                    records.grant(6, GRANT, issuer, start=6, by=authority)
                ],
                recognition_key(TH, CN, BILL): [records.recognition(7, "TH", "CN", start=7)],
            },
            Contract.DOCUMENT_STATUS: {},
        }

    def sign(self, signer: Account, did: Did, kid: str = "controller") -> bytes:
        return sign_statement(
            signer.key,
            issuer=did,
            kid=f"{did}#{kid}",
            subject="SAMPLE-BL-1",
            document_type=BILL,
            digest=Digest(sha256(DOCUMENT).digest()),
            content_type="text/plain",
            issued_at=START,
            salt=b"\x05" * 16,
        )

    def record(self, contract: Contract, key: bytes, *items: HistoryRecord) -> None:
        self.histories[contract].setdefault(key, []).extend(items)

    def identity_record(self, *items: HistoryRecord) -> None:
        self.record(Contract.IDENTITY_REGISTRY, identity_key(self.issuer.address), *items)

    def status_record(self, *items: HistoryRecord, actor: Address | None = None) -> None:
        key = document_status_key(actor or self.issuer.address, self.statement.id)
        self.record(Contract.DOCUMENT_STATUS, key, *items)

    # The log

    def tree(self) -> Tree:
        tree = Tree()
        for index in range(12):
            tree.append(self.statement.raw if index == self.leaf_index else b"another entry %d" % index)
        return tree

    def log_section(self) -> LogSection:
        tree, size = self.tree(), self.checkpoint_size or self.size
        root, path = tree.root(size), tree.inclusion_path(self.leaf_index, size)
        low, high = sorted((size, self.size))
        return LogSection(
            checkpoint=sign_checkpoint(Checkpoint(ORIGIN, size, root), self.log_key).encode(),
            receipt=make_receipt(
                self.log_key, origin=ORIGIN, size=size, index=self.leaf_index, path=path, root=root
            ),
            consistency=None if size == self.size else tuple(tree.consistency_path(low, high)),
        )

    # The ledger

    def receipts(self) -> list[Receipt]:
        tree = self.tree()
        values = (
            self.size,
            bytes(tree.root(self.size)),
            self.previous_size,
            bytes(tree.root(self.previous_size)),
        )
        data = encode(["uint64", "bytes32", "uint64", "bytes32"], values)
        anchored = EventLog(CONTRACTS["LogAnchor"], (ANCHORED_TOPIC, origin_id(ORIGIN)), data)
        other = EventLog(CONTRACTS["LogAnchor"], (b"\x11" * 32,), b"")
        logs = [(), (other, anchored), (other,)]
        return [
            Receipt(0, True, 21_000 * (i + 1), bloom_of(entry), tuple(entry)) for i, entry in enumerate(logs)
        ]

    def storage(self, contract: Contract) -> dict[bytes, bytes]:
        return {
            keccak256(slot_of(key).to_bytes(32, "big")): rlp.encode(fold_head(items).lstrip(b"\0"))
            for key, items in self.histories[contract].items()
            if items
        }

    def state(self) -> tuple[Trie, dict[Contract, Trie]]:
        tries = {contract: Trie(self.storage(contract)) for contract in Contract}
        accounts = {
            keccak256(CONTRACTS[contract.directory_name]): rlp.encode(
                [b"\x01", b"", trie.root, keccak256(contract.name.encode())]
            )
            for contract, trie in tries.items()
        }
        return Trie(accounts), tries

    def headers(self) -> list[Header]:
        first = self.registration - 1 if self.first_header is None else self.first_header
        state_root = self.state()[0].root
        made: list[Header] = []
        for number in range(first, self.as_of + 1):
            parent = bytes(made[-1].hash) if made else bytes(32)
            roots = receipts_root(self.receipts()) if number == self.registration else b"\x22" * 32
            made.append(self.header(number, parent, state_root, roots))
        needed = {first, self.registration - 1, self.registration, self.as_of}
        return [header for header in made if not self.sparse or header.number in needed]

    def header(self, number: int, parent: bytes, state_root: bytes, receipts: bytes) -> Header:
        draft = Draft(
            number=number,
            members=self.members,
            parent=parent,
            timestamp=START,
            state_root=state_root,
            receipts_root=receipts,
        )
        if self.engine is EngineKind.QBFT:
            return draft.sealed()
        return decode_header(draft.raw(b""), EngineKind.NO_SEALS)

    def parts(self) -> Parts:
        have: Histories = {}
        place = find_anchor(self.receipts(), CONTRACTS["LogAnchor"], ORIGIN, self.leaf_index)
        if place is None:
            place = (1, 1, None)  # type: ignore[assignment]
        while missing := missing_histories(
            self.statement, ORIGIN, self.relying, self.registration - 1, self.as_of, have
        ):
            for contract, key in missing:
                have.setdefault(contract, {})[key] = tuple(self.histories[contract].get(key, []))
        accounts, tries = self.state()
        states = {
            contract: StateParts(
                accounts.prove(keccak256(CONTRACTS[contract.directory_name])),
                {
                    slot_of(key): tries[contract].prove(keccak256(slot_of(key).to_bytes(32, "big")))
                    for key in keys
                },
            )
            for contract, keys in have.items()
        }
        assert place is not None, "the anchor stands in its block"
        return Parts(
            statement=self.statement.raw,
            log=self.log_section(),
            anchor_block=self.registration,
            anchor_receipts=self.receipts(),
            transaction_index=place[0],
            log_index=place[1],
            headers=self.headers(),
            network=NetworkSection(CHAIN_ID, GENESIS, DIRECTORY),
            histories=have,
            states=states,
        )

    def evidence(self) -> Bundle:
        return assemble(self.parts())

    def roots(self, pinned: Sequence[int] | None = None, relying: CountryCode | None = TH) -> TrustRoots:
        """Trust roots that pin the blocks of these numbers (default: the newest)."""
        numbers = [self.as_of] if pinned is None else pinned
        sealed = self.engine is EngineKind.QBFT
        return TrustRoots(
            chain_id=CHAIN_ID,
            genesis_hash=GENESIS,
            engine=self.engine,
            rules=ValidatorRules(epoch_length=10) if sealed else None,
            directory=DIRECTORY,
            contracts=CONTRACTS,
            pinned_blocks={
                header.number: header.hash for header in self.headers() if header.number in numbers
            },
            relying_country=relying,
        )

    def verify(self, bundle: Bundle | None = None, as_of: int | None = None) -> Verdict:
        """The verdict on the document, by roots that pin the newest block of this world."""
        data = (self.evidence() if bundle is None else bundle).encode()
        return verify_bundle(Digest(sha256(DOCUMENT).digest()), data, self.roots(), as_of=as_of)
