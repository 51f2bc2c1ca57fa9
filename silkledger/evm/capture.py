"""Gathering an evidence bundle from a node and the stored histories.

State proofs can only be had for recent blocks (`EngineProfile.state_history_blocks`), so evidence is captured
as of a block that is final and not long past. What is gathered is verified before it is handed out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from silkledger.envelope import SignedObject
from silkledger.evidence import lineage
from silkledger.evidence.assemble import (
    Histories,
    Parts,
    StateParts,
    assemble,
    find_anchor,
    missing_histories,
    slot_of,
)
from silkledger.evidence.bundle import Bundle, Contract, DocumentSection, LogSection, NetworkSection
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import EngineKind, Header, decode_header
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evidence.qbft import extra_data_of
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import CheckResult
from silkledger.evidence.verify import verify_bundle
from silkledger.evm.contract_headers import ContractHeaders, ContractMode
from silkledger.evm.contracts import Network
from silkledger.evm.failure import CaptureFailed
from silkledger.evm.port import AccountProof, Block, FullBlock
from silkledger.registry.histories import HistoryRecord
from silkledger.values import Address, CountryCode, Digest

MAX_CONTIGUOUS: Final = 4096
"""On an engine without seals: most blocks between registration and as-of block for which every header is put
in, about 2.5 MB. Beyond, a verifier must pin both blocks."""

_BATCH: Final = 100
"""Blocks fetched at once."""

_OURS: Final = frozenset(
    {
        "bundle",
        "network",
        "statement",
        "document",
        "blocks",
        "state",
        "anchor",
        "log_key",
        "checkpoint",
        "receipt",
        "registration",
    }
)
"""Checks that hold for every statement in the log, whoever issued it: if one fails, gathering went wrong."""


class HistorySource(Protocol):
    """Where the recorded histories are read, e.g. `silkledger.projections.histories.StoredHistories`."""

    async def many(
        self, contract: str, keys: Iterable[bytes], known_at: int | None = None
    ) -> Mapping[bytes, Sequence[HistoryRecord]]:
        """The histories of `keys`, up to block `known_at`; an empty one where nothing was recorded."""
        ...


class HeaderSource(Protocol):
    """Where headers are read."""

    async def block(self, number: int) -> Block: ...


class BlockSource(HeaderSource, Protocol):
    """What gathering evidence asks of a node (`silkledger.evm.port.Node`)."""

    async def full_blocks(self, first: int, last: int) -> list[FullBlock]: ...

    async def get_proof(self, address: Address, slots: Sequence[int], block: int) -> AccountProof: ...


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """What evidence is wanted of. The log's part comes from the log itself."""

    statement: SignedObject
    """A statement, or a manifest with `document`."""
    digest: Digest
    """Of the document that the evidence is about."""
    origin: str
    leaf_index: int
    log: LogSection
    anchor_block: int
    """Block of the first final anchor that covers the leaf."""
    as_of: int
    """A final block, not before the anchor's."""
    relying: tuple[CountryCode, ...]
    """Countries on whose behalf the bundle shall be verifiable."""
    document: DocumentSection | None = None
    """The document's place in the manifest."""
    also: tuple[int, ...] = ()
    """Blocks between the anchor's and `as_of` whose headers shall be there too, so that it can be verified
    as of them."""


async def capture(
    node: BlockSource,
    histories: HistorySource,
    network: Network,
    kind: EngineKind,
    request: CaptureRequest,
    mode: ContractMode | None = None,
    steps: Sequence[int] = (),
) -> Bundle:
    """The bundle for `request`. On QBFT, `mode` says where the validators stand if headers do not name them,
    and `steps` at which blocks they can be proven in any case (`contract_headers`).

    Guarantees that document, state, anchor, log key, checkpoint with its cosignatures, and receipt in it
    verify against its own as-of block.
    This is not a verdict: issuer, authority and status may well fail, and that is evidence too.

    Raises:
        CaptureFailed: there is no such anchor, or what the node and the histories say does not fit together.
        NodeUnavailable, NodeLied: e.g. the node no longer has the state of that block.
    """
    pinned = 0 if mode is None else mode.pinned
    blocks = (request.anchor_block, *request.also, request.as_of)
    if not pinned < request.anchor_block or list(blocks) != sorted(blocks):
        raise CaptureFailed(f"no evidence as of block {request.as_of} for block {request.anchor_block}")
    anchor_block = (await node.full_blocks(request.anchor_block, request.anchor_block))[0]
    place = find_anchor(
        anchor_block.receipts, network.address("LogAnchor"), request.origin, request.leaf_index
    )
    if place is None:
        raise CaptureFailed(f"block {request.anchor_block} has no first anchor of leaf {request.leaf_index}")
    gathered = await _histories(histories, request)
    bundle = assemble(
        Parts(
            statement=request.statement.raw,
            log=request.log,
            anchor_block=request.anchor_block,
            anchor_receipts=anchor_block.receipts,
            transaction_index=place[0],
            log_index=place[1],
            headers=await _headers(node, anchor_block, kind, request, mode, steps),
            network=NetworkSection(network.chain_id, network.genesis_hash, network.directory),
            histories=gathered,
            states=await _states(node, network, gathered, request.as_of),
            document=request.document,
        )
    )
    _self_check(bundle, network, kind, request, mode)
    return bundle


async def _histories(source: HistorySource, request: CaptureRequest) -> Histories:
    have: Histories = {}
    while True:
        missing = missing_histories(
            request.statement, request.origin, request.relying, request.anchor_block - 1, request.as_of, have
        )
        if not missing:
            return have
        for contract in {contract for contract, _ in missing}:
            keys = [key for owner, key in missing if owner is contract]
            found = await source.many(contract.directory_name, keys, request.as_of)
            have.setdefault(contract, {}).update({key: tuple(found[key]) for key in keys})


async def _headers(
    node: BlockSource,
    anchor_block: FullBlock,
    kind: EngineKind,
    request: CaptureRequest,
    mode: ContractMode | None,
    steps: Sequence[int],
) -> list[Header]:
    """The registration block and its parent, the as-of block, and what links them to pinned blocks."""
    between = {request.anchor_block, *request.also, request.as_of}
    if mode is not None:
        return await ContractHeaders(node, mode, steps).chain(sorted(between))
    if kind is EngineKind.QBFT:
        return await _sealed_headers(node, sorted({0, request.anchor_block - 1} | between))
    first, last = request.anchor_block + 1, request.as_of
    headers = [(await node.block(request.anchor_block - 1)).header, anchor_block.header]
    if last - first >= MAX_CONTIGUOUS:
        return [*headers, *[(await node.block(n)).header for n in sorted(between - {request.anchor_block})]]
    for start in range(first, last + 1, _BATCH):
        blocks = await node.full_blocks(start, min(start + _BATCH - 1, last))
        headers += [block.header for block in blocks]
    return headers


async def _sealed_headers(node: BlockSource, needed: Sequence[int]) -> list[Header]:
    """Genesis, which every verifier pins, starts the lineage; further headers only where validators changed
    so much that one block's seals do not carry over to the next one needed."""
    headers = [(await node.block(needed[0])).header]
    for number in needed[1:]:
        headers += await bridge(node, headers[-1], (await node.block(number)).header)
    return headers


async def bridge(node: HeaderSource, trusted: Header, wanted: Header) -> list[Header]:
    """The headers after `trusted`, up to `wanted`, by which a verifier can skip from one to the other.

    Halves the way until more than a third of the validators of each step sealed the next: a logarithm of
    the distance per third that was replaced.

    Raises:
        CaptureFailed: a header is not sealed as it should be, or one block replaced too many validators.
    """
    try:
        lineage.skip(frozenset(extra_data_of(trusted).validators), wanted)
        return [wanted]
    except EvidenceInvalid as error:
        middle = (trusted.number + wanted.number) // 2
        if error.reason is not Reason.LINEAGE_SKIP or middle == trusted.number:
            raise CaptureFailed(error.detail, (error.reason,)) from error
    between = await bridge(node, trusted, (await node.block(middle)).header)
    return between + await bridge(node, between[-1], wanted)


async def _states(
    node: BlockSource, network: Network, histories: Histories, block: int
) -> dict[Contract, StateParts]:
    states: dict[Contract, StateParts] = {}
    for contract, keys in histories.items():
        address = network.address(contract.directory_name)
        proof = await node.get_proof(address, [slot_of(key) for key in keys], block)
        states[contract] = StateParts(proof.account_proof, proof.storage_proofs)
    return states


def _self_check(
    bundle: Bundle, network: Network, kind: EngineKind, request: CaptureRequest, mode: ContractMode | None
) -> None:
    rules = ValidatorRules(1) if kind is EngineKind.QBFT else None
    first = decode_header(bundle.headers[0], kind)
    roots = TrustRoots(
        chain_id=network.chain_id,
        genesis_hash=network.genesis_hash,
        engine=kind,
        rules=rules if mode is None else mode.rules,
        directory=network.directory,
        contracts=network.addresses,
        pinned_blocks={} if mode is None else {mode.pinned: first.hash},
    )
    verdict = verify_bundle(request.digest, bundle.encode(), roots)
    ours = _OURS if mode is None else _OURS | {"headers"}
    bad = [
        check
        for check in verdict.checks
        if (check.name in ours and check.result is not CheckResult.PASS)
        or (check.name == "cosignatures" and check.result is CheckResult.FAIL)
    ]
    if bad:
        text = "; ".join(f"{check.name}: {check.detail}" for check in bad)
        raise CaptureFailed(f"what was gathered does not fit together: {text}", tuple(c.reason for c in bad))
