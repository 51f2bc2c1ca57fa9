"""The embedded stack's chain alone, for work on a service's database that wants the service stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from silkledger.evm.anvil import EmbeddedChain
from silkledger.stack.certificates import DevelopmentCa
from silkledger.stack.directory import DataDirectory
from silkledger.stack.environment import Environments
from silkledger.stack.ports import Ports

SERVICES_ROOT: Final = Path(__file__).resolve().parents[2]
"""Where the services' code and their migrations are."""


@contextmanager
def ledger_stopped(data: DataDirectory) -> Iterator[dict[str, str]]:
    """The ledger service's environment while nothing but the chain runs.

    Raises: DirectoryInUse (the stack runs), NotAStack, ChainFailed.
    """
    network = data.read_network()
    with data.run_lock():
        ports = Ports(data)
        chain = EmbeddedChain(data.chain, port=ports.of("chain"))
        chain.start()
        try:
            here = replace(network, node_url=chain.url)
            environments = Environments(data, DevelopmentCa(data.ca), here)
            addresses = ports.address("ledger"), ports.address("ledger-metrics")
            yield {**os.environ, **environments.ledger(*addresses)}
        finally:
            chain.stop()
