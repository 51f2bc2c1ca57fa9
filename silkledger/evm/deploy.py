"""Putting the contracts on a chain. Done once per network, by whoever founds it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from eth_abi.abi import encode

from silkledger.evm.contracts import (
    CONTRACTS,
    DIRECTORY,
    ContractMismatch,
    Network,
    artifact,
    load_network,
)
from silkledger.evm.engines import ANVIL, EngineProfile
from silkledger.evm.port import Node, TransactionReceipt
from silkledger.evm.signer import LocalSigner
from silkledger.evm.transactions import Transaction, created_address, sign_transaction
from silkledger.keys.account import Account
from silkledger.values import Address, TxHash

DEPLOY_GAS: Final = 8_000_000
"""Gas limit of each creation; EIP-170 caps the code at 24 KiB, whose deposit alone is 4.9 million."""


class DeployFailed(RuntimeError):
    """A contract could not be created. The chain may hold some of the others: deploy with a fresh account."""


async def deploy(
    node: Node,
    deployer: Account,
    governance: Address,
    profile: EngineProfile = ANVIL,
    *,
    timeout_s: float = 120.0,
) -> Network:
    """Create all contracts and their directory, and wait until they are final.

    SignedCalls must know the directory and the targets must know SignedCalls, so addresses are predicted from
    the deployer's nonces. Sent and awaited one by one; the account MUST have no other use meanwhile.

    Raises:
        DeployFailed: a creation failed or did not become final within `timeout_s`.
        NodeUnavailable, NodeLied, TransactionRefused.
    """
    first = await node.nonce(deployer.address)
    order = (*CONTRACTS, DIRECTORY)
    predicted = {name: created_address(deployer.address, first + i) for i, name in enumerate(order)}
    signer = LocalSigner(deployer)
    chain_id = await node.chain_id()
    deadline = time.monotonic() + timeout_s
    sent: list[tuple[str, TxHash]] = []
    for i, name in enumerate(order):
        code = artifact(name).bytecode + _arguments(name, predicted, governance)
        price = profile.min_gas_price
        transaction = Transaction(chain_id, first + i, price, DEPLOY_GAS, None, code)
        signed = await sign_transaction(signer, transaction)
        sent.append((name, await node.send_raw(signed.raw)))
    for name, tx_hash in sent:
        receipt = await _final(node, profile, tx_hash, deadline)
        if not receipt.receipt.status or receipt.contract_address != predicted[name]:
            raise DeployFailed(f"the creation of {name} failed in block {receipt.block_number}")
    network = await load_network(node, predicted[DIRECTORY])
    if dict(network.addresses) != {name: predicted[name] for name in CONTRACTS}:
        raise ContractMismatch("the directory lists other contracts than were created")
    return network


def _arguments(name: str, predicted: Mapping[str, Address], governance: Address) -> bytes:
    """ABI-encoded constructor arguments, by the types that the artifact declares."""
    types = artifact(name).constructor
    values: Sequence[object]
    if name == DIRECTORY:
        values = (list(CONTRACTS), [predicted[item] for item in CONTRACTS])
    elif name == "SignedCalls":
        values = (predicted[DIRECTORY],)
    elif name == "TrustRegistry":
        values = (predicted["SignedCalls"], governance)
    else:
        values = (predicted["SignedCalls"],)
    if len(types) != len(values):
        raise ContractMismatch(f"the constructor of {name} takes {len(types)} arguments, not {len(values)}")
    return encode(types, values)


async def _final(node: Node, profile: EngineProfile, tx_hash: TxHash, deadline: float) -> TransactionReceipt:
    """The receipt of a transaction once its block is final."""
    while time.monotonic() < deadline:
        receipt = await node.transaction_receipt(tx_hash)
        if receipt is not None and receipt.block_number <= profile.final_number(await node.block_number()):
            return receipt
        await asyncio.sleep(profile.block_time_s / 10)
    raise DeployFailed(f"transaction {tx_hash} is not final; a node that forgot it needs a new deployment")
