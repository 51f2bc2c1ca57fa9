"""`Stack`: the embedded chain, the services and the banks' services, up and down together."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from silkledger.client.channel import Credentials, wait_until_serving
from silkledger.evm.anvil import DEV_CHAIN_ID, ChainFailed, EmbeddedChain
from silkledger.evm.engines import ANVIL
from silkledger.stack.certificates import CertificateFiles, DevelopmentCa
from silkledger.stack.directory import DataDirectory, NetworkFile
from silkledger.stack.environment import (
    SETTLEMENT_MARKER,
    BankMarker,
    Environments,
    ensure_account,
    ensure_log_key,
)
from silkledger.stack.network import deploy_network, pin_trust_roots, same_chain
from silkledger.stack.ports import Ports
from silkledger.stack.supervisor import ChildSpec, Supervisor
from silkledger.values import Did

_ROOT: Final = Path(__file__).resolve().parents[2]
"""Where the services' code and their migrations are."""

_WATCH_SECONDS: Final = 0.2
"""How often the orgs/ folder and the chain's thread are looked at."""


@dataclass(frozen=True, slots=True)
class Part:
    """One running part, for the table."""

    name: str
    address: str
    pid: int


class Stack:
    """Use: `await up()`, then `await failed()` until stopped, then `await down()`; under the run lock.

    `tell` gets one short sentence for each step.
    """

    def __init__(self, data: DataDirectory, tell: Callable[[str], None], *, block_time: float = 1.0) -> None:
        self.data = data
        self._tell = tell
        self._ports = Ports(data)
        self._chain = EmbeddedChain(data.chain, port=self._ports.of("chain"), block_time_s=block_time)
        self._supervisor = Supervisor()
        self._ca = DevelopmentCa(data.ca)
        self._banks: set[str] = set()
        self._network: NetworkFile | None = None

    @property
    def network(self) -> NetworkFile:
        if self._network is None:
            raise RuntimeError("the stack is not up")
        return self._network

    @property
    def credentials(self) -> Credentials:
        """The operator's own."""
        operator = self.data.operator
        return Credentials(self._ca.files.certificate, operator / "tls.crt", operator / "tls.key")

    async def up(self) -> None:
        """Returns when every service says SERVING. Raises: `ChainFailed`, `ChildDied`, `ChildNotReady`,
        `DifferentChain`, `TimeoutError`."""
        self._tell("starting the chain (anvil)")
        self._chain.start()  # in this thread: the chain's process dies with the thread that started it
        self._issue_operator()
        await self._find_or_make_network()
        environments = Environments(self.data, self._ca, self.network)
        # Two interpreters starting at once use both cores.
        await asyncio.gather(
            self._start_service("ledger", environments.ledger(*self._addresses("ledger"))),
            self._start_service("identity", environments.identity(*self._addresses("identity"))),
        )
        await self._start_new_banks()

    async def failed(self) -> str:
        """Waits until a part dies by itself; says which and how. Starts settlement services meanwhile."""
        death = asyncio.ensure_future(self._supervisor.failure())
        try:
            while not death.done():
                if self._chain.failure is not None:
                    return f"chain died: {self._chain.failure}"
                if not self._chain.running:
                    return f"chain died; see {self._chain.log_file}"
                await self._start_new_banks()
                await asyncio.wait({death}, timeout=_WATCH_SECONDS)
            return str(death.result())
        finally:
            death.cancel()

    async def down(self) -> list[str]:
        """Stops everything in reverse order. Returns the names of parts that had to be killed."""
        killed = await self._supervisor.stop_all()
        await asyncio.to_thread(self._chain.stop)
        return killed

    def parts(self) -> list[Part]:
        pids = self._supervisor.pids
        parts = [Part("chain (anvil)", self.network.node_url, self._chain.pid or 0)]
        parts += [Part(name, self.network.endpoints[name], pid) for name, pid in pids.items()]
        return parts

    def _issue_operator(self) -> None:
        operator = self.data.operator
        account = ensure_account(operator / "operator.pem")
        ensure_account(operator / "governance.pem")
        did = Did.of(DEV_CHAIN_ID, account.address)
        files = CertificateFiles(operator / "tls.crt", operator / "tls.key")
        self._ca.issue_client("Silkledger development operator", str(did), ["operator"], files)

    def _addresses(self, name: str) -> tuple[str, str]:
        return self._ports.address(name), self._ports.address(f"{name}-metrics")

    async def _find_or_make_network(self) -> None:
        endpoints = {name: self._ports.address(name) for name in ("ledger", "identity")}
        if self.data.network_file.exists():
            kept = self.data.read_network()
            await same_chain(kept, self._chain.url)
            network = replace(kept, node_url=self._chain.url, endpoints={**kept.endpoints, **endpoints})
        else:
            self._tell("deploying the contracts and waiting until they are final")
            ensure_log_key(self.data.service("ledger") / "log.pem")
            network = await deploy_network(self.data, self._chain.url, ANVIL, endpoints)
        pin_trust_roots(self.data, network)
        self._set_network(network)

    def _set_network(self, network: NetworkFile) -> None:
        self._network = network
        self.data.write_network(network)

    async def _start_service(self, name: str, environment: dict[str, str], module: str = "") -> None:
        address = environment["SILKLEDGER_LISTEN"]
        self._tell(f"starting {name} on {address}")

        async def ready() -> None:
            await wait_until_serving(address, self.credentials)

        await self._supervisor.start(
            ChildSpec(
                name=name,
                argv=(sys.executable, "-m", module or f"services.{name}"),
                env=environment,
                log=self.data.service(name.replace("/", "-")) / "log.jsonl",
                ready=ready,
                cwd=_ROOT,
                wave=2 if module else 1,  # the banks need the others
            )
        )

    async def _start_new_banks(self) -> None:
        found = {path.parent.name for path in self.data.orgs.glob(f"*/{SETTLEMENT_MARKER}")}
        new = sorted(found - self._banks)
        self._banks |= found
        await asyncio.gather(*(self._start_bank(alias) for alias in new))

    async def _start_bank(self, alias: str) -> None:
        bank = BankMarker.read(self.data.organisation(alias))
        metrics = self._ports.address(f"settlement-{alias}-metrics")
        environment = Environments(self.data, self._ca, self.network).settlement(alias, bank, metrics)
        name = f"settlement/{alias}"
        endpoints = {**self.network.endpoints, name: bank.listen}
        self._network = replace(self.network, endpoints=endpoints)
        await self._start_service(name, environment, "services.settlement")
        # Written only now: whoever reads network.json finds services that serve.
        self._set_network(replace(self.network, endpoints={**self.network.endpoints, name: bank.listen}))


__all__ = ["ChainFailed", "Part", "Stack"]
