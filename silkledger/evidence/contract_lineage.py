"""Who the validators are at each height, from a contract's storage (QBFT contract mode).

Besu takes the validators of block n+1 from `getValidators()` of the configured contract, called on the state
at the end of block n; headers then name none and carry no vote (`TransactionValidatorProvider`,
`QbftValidatorsValidationRule`). Offline nothing is called: the contract's storage is proven under the state
root of block n, an array of addresses at a known slot of a contract with known code. That this code answers
with that array is trusted, and said in the verdict.

Not guaranteed: keys that were retired long ago can sign another history. Pin recent blocks besides genesis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header, ValidatorsProof
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.qbft import extra_data_of, verify_contract_seals
from silkledger.evidence.reasons import Reason
from silkledger.evidence.state import AccountState, verify_account, verify_slot
from silkledger.values import Address

MAX_VALIDATORS: Final = 256
"""Largest set read."""


@dataclass(frozen=True, slots=True)
class ContractRules:
    """Where the network's validators stand."""

    address: Address
    """`validatorcontractaddress` of the genesis file."""
    code_hash: bytes
    """keccak of the contract's code, 32 bytes: other code might keep them elsewhere."""
    slot: int
    """Storage slot of the array: its length; item i stands at keccak(slot) + i."""

    def item_slot(self, index: int) -> int:
        """Storage slot of item `index`."""
        start = int.from_bytes(keccak256(self.slot.to_bytes(32, "big")), "big")
        return (start + index) % 2**256


@dataclass(frozen=True, slots=True)
class Followed:
    """Which headers the seals vouch for."""

    start: int
    """Index of the pinned header where the lineage starts."""
    trusted: frozenset[int]
    """Indexes of headers that are on the ledger by themselves; others may be reached by parent hashes."""
    replayed: bool
    """Whether every header after `start` is the sealed child of the one before."""


def account_at(header: Header, proof: Sequence[bytes], rules: ContractRules) -> AccountState:
    """The validators' contract at the end of `header`, from the proof of its account.

    Raises:
        EvidenceInvalid: VALIDATOR_CONTRACT, and what `verify_account` raises.
    """
    account = verify_account(header.state_root, rules.address, proof)
    if account.code_hash != rules.code_hash:
        raise EvidenceInvalid(
            Reason.VALIDATOR_CONTRACT, f"at block {header.number} {rules.address} has other code, or none"
        )
    return account


def validators_at(header: Header, proof: ValidatorsProof, rules: ContractRules) -> frozenset[Address]:
    """The validators of the block after `header`.

    Steps: (1) the contract with the pinned code stands under the state root; (2) the array's length; (3)
    every item, none zero, none twice, none missing.

    Raises:
        EvidenceInvalid: VALIDATOR_SET, and what `account_at` and the state proofs raise.
    """
    account = account_at(header, proof.account, rules)  # (1)
    length = verify_slot(account.storage_root, rules.slot, proof.slots[0]) if proof.slots else 0  # (2)
    if not 0 < length <= MAX_VALIDATORS or len(proof.slots) != length + 1:
        raise EvidenceInvalid(
            Reason.VALIDATOR_SET,
            f"block {header.number} proves {len(proof.slots) - 1} of {length} validators",
        )
    words = [  # (3)
        verify_slot(account.storage_root, rules.item_slot(index), nodes)
        for index, nodes in enumerate(proof.slots[1:])
    ]
    if len(set(words)) != length or not all(0 < word < 2**160 for word in words):
        raise EvidenceInvalid(
            Reason.VALIDATOR_SET, f"the validators at block {header.number} are not {length} addresses"
        )
    return frozenset(Address(word.to_bytes(Address.SIZE, "big")) for word in words)


def follow(headers: Sequence[Header], pinned: Sequence[int], rules: ContractRules) -> Followed:
    """Follow the validators from the first pinned header that proves them.

    A header is *sealed* if its parent stands before it and proves the validators: then its seals are
    verified. Any other header must be in the form that its hash covers, round 0 and no seals, because nothing
    verifies these; it is trusted only by its hash. Where the parent of a sealed header is trusted, the
    validators are exactly those (*replay*). Where it is not (*skip*), more than a third of those trusted
    before MUST have sealed.

    Raises:
        EvidenceInvalid: LINEAGE_NO_START, VALIDATORS_NOT_PROVEN, LINEAGE_SKIP, and what `validators_at` and
            `verify_contract_seals` raise.
    """
    proven = {
        index: validators_at(header, header.validators_proof, rules)
        for index, header in enumerate(headers)
        if header.validators_proof is not None
    }
    start = next((index for index in pinned if index in proven), None)
    if start is None:
        raise EvidenceInvalid(Reason.LINEAGE_NO_START, "no pinned header proves who the validators are")
    current, trusted, exact = proven[start], {start}, True
    for index, header in enumerate(headers):
        signers = _sealers(headers, index, proven)
        if index <= start:
            continue
        if signers is None:
            exact = False
            continue
        if index - 1 not in trusted:
            exact = False
            if 3 * len(signers & current) <= len(current):
                raise EvidenceInvalid(
                    Reason.LINEAGE_SKIP,
                    f"{len(signers & current)} of {len(current)} trusted validators sealed "
                    f"block {header.number}",
                )
        trusted.add(index)
        current = proven.get(index, proven[index - 1])
    return Followed(start, frozenset(trusted), exact)


def _sealers(
    headers: Sequence[Header], index: int, proven: dict[int, frozenset[Address]]
) -> frozenset[Address] | None:
    """Who sealed the header; None where it is in the form that its hash covers."""
    header = headers[index]
    extra = extra_data_of(header)
    if not extra.seals and extra.round == 0:
        return None
    child = index > 0 and headers[index - 1].number + 1 == header.number
    if not child or index - 1 not in proven:
        raise EvidenceInvalid(
            Reason.VALIDATORS_NOT_PROVEN, f"nothing proves who the validators of block {header.number} are"
        )
    return verify_contract_seals(header, proven[index - 1])
