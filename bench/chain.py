"""The chain of a measured service: the embedded node, the contracts, an issuer accredited on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench.issuer import BILL, PUBLISHED, Issuer
from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.contracts import Network, encode_call
from silkledger.evm.deploy import deploy
from silkledger.evm.engines import ANVIL, EngineProfile
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.signer import LocalSigner
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.keys.account import Account
from silkledger.values import Address, CountryCode

_COUNTRY: Final = CountryCode("TH")
_FOUNDING_BLOCK_S: Final = 0.1
"""Block time while contracts are deployed; the measured chain has its own."""
_DEADLINE_S: Final = 60.0
_KEY_ATTRIBUTE: Final = b"did/pub/Multikey/veriKey".ljust(32, b"\0")
_FOREVER: Final = 2**63


@dataclass(frozen=True)
class World:
    """A chain with contracts, and an issuer that is accredited for bills of lading on it."""

    url: str
    network: Network
    issuer: Issuer


async def _send(node: JsonRpcNode, account: Account, to: Address, data: bytes) -> None:
    nonce = await node.nonce(account.address)
    transaction = Transaction(await node.chain_id(), nonce, 0, 2_000_000, to, data)
    signed = await sign_transaction(LocalSigner(account), transaction)
    tx_hash = await node.send_raw(signed.raw)
    deadline = time.monotonic() + _DEADLINE_S
    while await node.transaction_receipt(tx_hash) is None:
        if time.monotonic() > deadline:
            raise TimeoutError("a transaction is in no block")
        await asyncio.sleep(0.02)


async def _found(url: str, profile: EngineProfile, issuer: Issuer) -> World:
    node = JsonRpcNode(url, profile)
    governance, authority, account = Account.generate(), Account.generate(), issuer.account
    network = await deploy(node, Account.generate(), governance.address, profile)
    trust, identities = network.address("TrustRegistry"), network.address("IdentityRegistry")
    country = encode_call("TrustRegistry", "registerCountry", (_COUNTRY.encode(), authority.address))
    await _send(node, governance, trust, country)
    terms = (account.address, _COUNTRY.encode(), BILL.to_bytes8(), 2, 0, 0, bytes(32), False)
    await _send(node, authority, trust, encode_call("TrustRegistry", "accredit", terms))
    for suite in PUBLISHED:
        key = issuer.key(suite).verifying_key.to_multicodec()
        published = (account.address, _KEY_ATTRIBUTE, key, _FOREVER)
        await _send(node, account, identities, encode_call("IdentityRegistry", "setAttribute", published))
    await node.close()
    return World(url, network, issuer)


@contextmanager
def world(directory: Path, block_time_s: float, issuer: Issuer) -> Iterator[World]:
    """A founded chain with blocks at this pace."""
    founding = EmbeddedChain(directory, block_time_s=_FOUNDING_BLOCK_S)
    founding.start()
    try:
        founded = asyncio.run(_found(founding.url, replace(ANVIL, block_time_s=_FOUNDING_BLOCK_S), issuer))
    finally:
        founding.stop()
    chain = EmbeddedChain(directory, block_time_s=block_time_s)
    chain.start()
    try:
        yield replace(founded, url=chain.url)
    finally:
        chain.stop()
