"""Statements through the service beside what they replace: one transaction per document.

The other way is web3.py as its documentation has it: transactions signed by eth-account with a nonce counted
here, sent to the same node, several under way at once, and done when the receipt of each is there. A
transaction carries the digest as its data to an account without code: the cheapest that puts a digest on the
chain. The service is stopped meanwhile, so that it takes nothing of the machine.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from statistics import median
from typing import Final

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.types import TxReceipt

from bench import rig
from bench.load import callers, drive
from bench.measure import Measurement, beside
from bench.registration import Registering
from bench.signing import A_CALL, signed_calls

WARM_UP: Final = 8
CALLS: Final = 200
"""Of one round: about as long as a round of transactions, so that the wait for the last batch weighs no more
than the wait for the last block does there.
"""
ROUNDS: Final = 3
DOCUMENTS: Final = 2_000
"""Transactions of one round."""
IN_FLIGHT: Final = 16
"""Requests to the node under way at once; more did not make it faster."""
GAS: Final = 30_000
"""21,000 for the transaction, 16 for each byte of the digest."""


async def _statements(running: rig.Service) -> list[float]:
    """Statements a second, from the first call to the last one logged, in rounds."""
    requests = signed_calls(WARM_UP + ROUNDS * CALLS)
    async with callers(running) as connections:
        registering = Registering(running, connections)
        await registering.send(requests[:WARM_UP])
        rates = []
        for first in range(WARM_UP, len(requests), CALLS):
            spent, _ = await registering.send(requests[first : first + CALLS])
            rates.append(CALLS * A_CALL / spent)
    return rates


class Sender:
    """One account that puts digests on the chain, a transaction for each."""

    def __init__(self, web3: AsyncWeb3[AsyncHTTPProvider], chain_id: int) -> None:
        self._web3 = web3
        self._chain_id = chain_id
        self._account: LocalAccount = Account.create()
        self._nonce = 0
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def register(self, digest: bytes) -> TxReceipt:
        """Returns when the transaction is in a block."""
        async with self._slots:
            signed = self._account.sign_transaction(
                {
                    "chainId": self._chain_id,
                    "nonce": self._nonce,
                    "gas": GAS,
                    "gasPrice": 0,
                    "to": self._account.address,
                    "value": 0,
                    "data": digest,
                }
            )
            self._nonce += 1
            tx_hash = await self._web3.eth.send_raw_transaction(signed.raw_transaction)
        async with self._slots:
            return await self._web3.eth.wait_for_transaction_receipt(tx_hash)


async def _transactions(url: str) -> list[float]:
    """Documents a second, from the first transaction to the last receipt, in rounds."""
    web3 = AsyncWeb3(AsyncHTTPProvider(url))
    sender = Sender(web3, await web3.eth.chain_id)
    rates = []
    for _ in range(ROUNDS):
        digests = [secrets.token_bytes(32) for _ in range(DOCUMENTS)]
        start = time.perf_counter()
        receipts = await asyncio.gather(*map(sender.register, digests))
        rates.append(DOCUMENTS / (time.perf_counter() - start))
        if not all(receipt["status"] for receipt in receipts):
            raise AssertionError("a transaction failed")
    await web3.provider.disconnect()
    return rates


def vs_transaction_per_document(dialect: str) -> list[Measurement]:
    """Through gRPC and mTLS, logged; and on the node alone, in a block."""
    with rig.service(dialect) as running:
        statements = drive(_statements(running))
        running.stop()
        transactions = drive(_transactions(running.world.url))
    return [
        beside(
            f"vs_transaction_per_document.{dialect}",
            median(statements),
            "statements/s",
            "one transaction per document, web3.py",
            median(transactions),
            at_least=50,
        )
    ]
