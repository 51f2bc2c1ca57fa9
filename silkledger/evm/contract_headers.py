"""Headers of a QBFT network in contract mode, with the proofs by which a verifier follows its validators.

State proofs are asked for at the parent of every header that must be sealed: a node that pruned that state
cannot give them. Form: docs/formats/evidence.md, "Contract mode".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from silkledger.evidence.contract_lineage import MAX_VALIDATORS, ContractRules, validators_at
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header, ValidatorsProof, stripped
from silkledger.evidence.qbft import verify_contract_seals
from silkledger.evidence.reasons import Reason
from silkledger.evidence.state import verify_account, verify_slot
from silkledger.evm.failure import CaptureFailed
from silkledger.evm.port import AccountProof, Block, NodeUnavailable
from silkledger.values import Address

MAX_LINKED: Final = 4096
"""Most headers by which a block is linked to a later one whose validators can be proven, about 2.5 MB."""


class ProvenHeaderSource(Protocol):
    """What is asked of a node (`silkledger.evm.port.Node`)."""

    async def block(self, number: int) -> Block: ...

    async def get_proof(self, address: Address, slots: Sequence[int], block: int) -> AccountProof: ...


@dataclass(frozen=True, slots=True)
class ContractMode:
    """Where the validators stand, and from which block verifiers follow them."""

    rules: ContractRules
    pinned: int = 0
    """A block that verifiers pin, at whose end the contract stands already. Genesis, if it holds it."""


class ContractHeaders:
    """Gathers the headers of one piece of evidence."""

    def __init__(self, node: ProvenHeaderSource, mode: ContractMode, steps: Sequence[int] = ()) -> None:
        """`steps`: blocks, ascending, of which and of whose parents the validators can be proven even where
        the node pruned the states around them."""
        self._node = node
        self._mode = mode
        self._steps = list(steps)

    async def chain(self, needed: Sequence[int]) -> list[Header]:
        """The pinned header, the headers `needed` (ascending, not before it), each sealed child of a header
        with the proof of its validators, and what else a verifier needs to get from one to the other.

        Where the validators that sealed a needed block cannot be proven any more, the block is linked by
        parent hashes to the next step, or to the last needed block; the parent of the needed one is then
        there too.

        Raises:
            CaptureFailed: a header is not sealed as it should be, or one block replaced too many validators.
            NodeUnavailable, NodeLied: e.g. the node no longer has the state of a block.
        """
        headers = [await self._linked(self._mode.pinned)]
        for number in needed:
            if number > headers[-1].number:
                headers += await self._reach(headers[-1], number, needed[-1])
        return headers

    async def _reach(self, trusted: Header, wanted: int, last: int) -> list[Header]:
        try:
            return await self._bridge(trusted, wanted)
        except NodeUnavailable:
            later = min((step for step in (*self._steps, last) if step > wanted), default=None)
            if later is None or later > last or later - wanted > MAX_LINKED:
                raise
        found = {}
        for number in range(max(wanted - 1, trusted.number + 1), later):
            found[number] = stripped((await self._node.block(number)).header)
        found |= {header.number: header for header in await self._bridge(trusted, later)}
        return [found[number] for number in sorted(found)]

    async def _bridge(self, trusted: Header, wanted: int) -> list[Header]:
        sealed = await self._proven((await self._node.block(wanted)).header)
        if trusted.number == wanted - 1:
            self._check(sealed, trusted, trusted)
            return [sealed]
        parent = await self._linked(wanted - 1)
        try:
            self._check(sealed, parent, trusted)
            return [parent, sealed]
        except EvidenceInvalid as error:
            middle = self._between(trusted.number, wanted)
            if error.reason is not Reason.LINEAGE_SKIP or middle == trusted.number:
                raise CaptureFailed(error.detail, (error.reason,)) from error
        between = await self._bridge(trusted, middle)
        return between + await self._bridge(between[-1], wanted)

    def _between(self, trusted: int, wanted: int) -> int:
        """Half the way: by the steps while there are some."""
        steps = [step for step in self._steps if trusted < step < wanted]
        return steps[len(steps) // 2] if steps else (trusted + wanted) // 2

    def _check(self, sealed: Header, parent: Header, trusted: Header) -> None:
        """Raises: EvidenceInvalid LINEAGE_SKIP, and what `verify_contract_seals` raises."""
        known = self._validators(trusted)
        signers = verify_contract_seals(sealed, self._validators(parent))
        if parent is not trusted and 3 * len(signers & known) <= len(known):
            raise EvidenceInvalid(Reason.LINEAGE_SKIP, f"too few trusted validators sealed {sealed.number}")

    def _validators(self, header: Header) -> frozenset[Address]:
        if header.validators_proof is None:
            raise CaptureFailed(f"block {header.number} was gathered without the proof of its validators")
        return validators_at(header, header.validators_proof, self._mode.rules)

    async def _linked(self, number: int) -> Header:
        """A header of which hash and state count alone."""
        return await self._proven(stripped((await self._node.block(number)).header))

    async def _proven(self, header: Header) -> Header:
        proof = await prove_validators(self._node, header, self._mode.rules)
        return replace(header, validators_proof=proof)


async def prove_validators(
    source: ProvenHeaderSource, header: Header, rules: ContractRules
) -> ValidatorsProof:
    """The proof of the validators at the end of the block of `header`, verified.

    Raises:
        CaptureFailed: there is no such contract there, or it names no validators.
        NodeUnavailable, NodeLied: e.g. the node no longer has the state of the block.
    """
    try:
        first = await source.get_proof(rules.address, [rules.slot], header.number)
        account = verify_account(header.state_root, rules.address, first.account_proof)
        length = verify_slot(account.storage_root, rules.slot, first.storage_proofs[rules.slot])
        if length > MAX_VALIDATORS:
            raise EvidenceInvalid(Reason.VALIDATOR_SET, f"{length} validators at block {header.number}")
        items = [rules.item_slot(index) for index in range(length)]
        rest = await source.get_proof(rules.address, items, header.number)
        slots = (first.storage_proofs[rules.slot], *(rest.storage_proofs[item] for item in items))
        proof = ValidatorsProof(first.account_proof, slots)
        validators_at(header, proof, rules)
    except EvidenceInvalid as error:
        raise CaptureFailed(error.detail, (error.reason,)) from error
    return proof
