"""The validators that a contract holds (QBFT contract mode), read from a node that is not trusted.

Who seals a block is what the contract's storage says at the end of its parent. That is proven under the
parent's state root. It costs, for each block:

- nothing, where the block has no transaction: no code of the contract was run, so its storage is the
  parent's (what an engine does to state beside transactions is done to its own system contracts);
- one proof of the account without a slot otherwise: with the storage root of the parent, the set is the same;
- the proofs of all slots only where the storage root is another one.

Receipts would not do instead: a call that changes the set need not emit an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from silkledger.evidence.contract_lineage import MAX_VALIDATORS, ContractRules, account_at, validators_at
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header, ValidatorsProof
from silkledger.evidence.reasons import Reason
from silkledger.evidence.state import AccountState, verify_slot
from silkledger.evidence.trie import EMPTY_TRIE_ROOT
from silkledger.evm.port import AccountProof, NodeLied, NodeUnavailable
from silkledger.evm.seal_refusals import SealsRefused, ValidatorsNotProven
from silkledger.values import Address

_AT_ONCE: Final = 8
"""Proofs that are asked for at the same time."""


class ProofSource(Protocol):
    """Where proofs are read (`silkledger.evm.port.Node`)."""

    async def get_proof(self, address: Address, slots: Sequence[int], block: int) -> AccountProof: ...


@dataclass(frozen=True, slots=True)
class ContractSet:
    """The contract at the end of a block."""

    storage_root: bytes
    validators: frozenset[Address]
    """Who seals the next block."""


def may_change(header: Header) -> bool:
    """Whether the contract's storage may differ from that at the end of the block's parent."""
    return header.transactions_root != EMPTY_TRIE_ROOT


async def account_proof(node: ProofSource, rules: ContractRules, number: int) -> AccountProof:
    """Of the contract's account at the end of block `number`, not verified.

    Raises:
        ValidatorsNotProven; NodeLied.
    """
    return await _asked(node, rules, (), number)


async def account_proofs(
    node: ProofSource, rules: ContractRules, numbers: Sequence[int]
) -> Mapping[int, AccountProof | Exception]:
    """The proofs of several blocks, some at a time; in the place of one that failed, why."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> AccountProof:
        async with limit:
            return await account_proof(node, rules, number)

    answers = await asyncio.gather(*map(one, numbers), return_exceptions=True)
    found: dict[int, AccountProof | Exception] = {}
    for number, answer in zip(numbers, answers, strict=True):
        if isinstance(answer, BaseException) and not isinstance(answer, Exception):
            raise answer
        found[number] = answer
    return found


def verified_account(header: Header, proof: AccountProof, rules: ContractRules) -> AccountState:
    """The contract at the end of the block. Raises: SealsRefused."""
    try:
        return account_at(header, proof.account_proof, rules)
    except EvidenceInvalid as refusal:
        raise SealsRefused.of(header.number, proof.told_by, refusal) from refusal


async def read_set(node: ProofSource, rules: ContractRules, header: Header) -> ContractSet:
    """The contract at the end of the block, with every slot.

    Raises:
        ValidatorsNotProven, NodeUnavailable: the node does not give the proofs.
        SealsRefused: they do not hold, or there is no such contract, or it holds no set of validators.
    """
    number = header.number
    first = await _asked(node, rules, (rules.slot,), number)
    account = verified_account(header, first, rules)
    try:
        length = verify_slot(account.storage_root, rules.slot, first.storage_proofs[rules.slot])
        if not 0 < length <= MAX_VALIDATORS:
            raise EvidenceInvalid(Reason.VALIDATOR_SET, f"{length} validators at block {number}")
    except EvidenceInvalid as refusal:
        raise SealsRefused.of(number, first.told_by, refusal) from refusal
    items = [rules.item_slot(index) for index in range(length)]
    rest = await _asked(node, rules, items, number)
    slots = (first.storage_proofs[rules.slot], *(rest.storage_proofs[item] for item in items))
    try:
        validators = validators_at(header, ValidatorsProof(first.account_proof, slots), rules)
    except EvidenceInvalid as refusal:
        raise SealsRefused.of(number, rest.told_by, refusal) from refusal
    return ContractSet(account.storage_root, validators)


async def set_after(
    node: ProofSource, rules: ContractRules, before: ContractSet, header: Header, account: AccountState
) -> ContractSet:
    """The set after the block, whose contract's account is `account`. Raises: as `read_set`."""
    if account.storage_root == before.storage_root:
        return before
    return await read_set(node, rules, header)


async def _asked(node: ProofSource, rules: ContractRules, slots: Sequence[int], number: int) -> AccountProof:
    try:
        return await node.get_proof(rules.address, slots, number)
    except NodeUnavailable as error:
        raise ValidatorsNotProven(number, str(error)) from error
    except NodeLied as error:
        raise NodeLied(f"the proof of the validators after block {number}: {error}") from error
