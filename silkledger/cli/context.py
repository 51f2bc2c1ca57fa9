"""What every command has: the data directory, who acts, how to show, and where errors become exit codes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output

if TYPE_CHECKING:
    from silkledger.client import AuditClient, IdentityClient, LedgerClient, SettlementClient
    from silkledger.client.calls import CallSigner
    from silkledger.client.channel import Credentials
    from silkledger.client.organisation import Organisation
    from silkledger.evm.contracts import Network
    from silkledger.stack.directory import NetworkFile

DataOption = Annotated[
    Path,
    typer.Option("--data", envvar="SILKLEDGER_DATA", help="Data directory of the stack.", show_default=True),
]
AsOption = Annotated[
    str,
    typer.Option("--as", envvar="SILKLEDGER_AS", help="Alias of the organisation that acts (orgs/<alias>)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for programs.")]
AllowUnsealed = Annotated[
    bool,
    typer.Option(
        "--allow-unsealed", help="Exit 0, not 3, when all checks passed on an engine without seals."
    ),
]

DEFAULT_DATA = Path("silkledger-data")


class CommandFailed(Exception):
    """A command cannot go on; `code` is its exit status."""

    def __init__(self, code: ExitCode, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = {"code": code.name, "message": message, **(data or {})}


class Session:
    """One command's view of a data directory, as one organisation."""

    def __init__(self, data: Path, alias: str, output: Output) -> None:
        from silkledger.stack.directory import DataDirectory

        self.directory = DataDirectory(data.resolve())
        self.alias = alias
        self.output = output

    @property
    def network_file(self) -> NetworkFile:
        return self.directory.read_network()

    @property
    def network(self) -> Network:
        return self.network_file.to_network()

    @property
    def ca(self) -> Path:
        return self.directory.ca / "ca.crt"

    @property
    def organisation(self) -> Organisation:
        """Raises: `CommandFailed` without --as, `NoSuchOrganisation`."""
        from silkledger.client.organisation import Organisation

        if not self.alias:
            raise CommandFailed(ExitCode.USAGE, "say who acts: --as ALIAS, or set SILKLEDGER_AS")
        return Organisation.load(self.directory.organisation(self.alias))

    @property
    def credentials(self) -> Credentials:
        return self.organisation.credentials(self.ca)

    @property
    def operator_credentials(self) -> Credentials:
        from silkledger.client.channel import Credentials

        operator = self.directory.operator
        return Credentials(self.ca, operator / "tls.crt", operator / "tls.key")

    def call_signer(self) -> CallSigner:
        from silkledger.client.calls import CallSigner

        return CallSigner(self.organisation.account(), self.network)

    def governance_signer(self) -> CallSigner:
        """The embedded stack keeps governance's key; a real network's governance is a multisig elsewhere."""
        from silkledger.client.calls import CallSigner
        from silkledger.keys.account import Account

        return CallSigner(Account.load(self.directory.operator / "governance.pem"), self.network)

    @asynccontextmanager
    async def ledger(self, *, operator: bool = False) -> AsyncIterator[LedgerClient]:
        from silkledger.client import Connection, LedgerClient

        credentials = self.operator_credentials if operator else self.credentials
        async with Connection(self.network_file.endpoints["ledger"], credentials) as connection:
            yield LedgerClient(connection)

    @asynccontextmanager
    async def audits(self, *, operator: bool = False) -> AsyncIterator[AuditClient]:
        """The ledger service's AuditService."""
        from silkledger.client import AuditClient, Connection

        credentials = self.operator_credentials if operator else self.credentials
        async with Connection(self.network_file.endpoints["ledger"], credentials, patience=0.0) as connection:
            yield AuditClient(connection)

    @asynccontextmanager
    async def identity(self, *, operator: bool = False) -> AsyncIterator[IdentityClient]:
        from silkledger.client import Connection, IdentityClient

        credentials = self.operator_credentials if operator else self.credentials
        async with Connection(self.network_file.endpoints["identity"], credentials) as connection:
            yield IdentityClient(connection)

    @asynccontextmanager
    async def settlement(self) -> AsyncIterator[SettlementClient]:
        """The acting bank's own service."""
        from silkledger.client import Connection, SettlementClient

        endpoint = self.organisation.profile.settlement_endpoint
        if not endpoint:
            raise CommandFailed(ExitCode.USAGE, f"{self.alias} is no bank: it has no settlement service")
        async with Connection(endpoint, self.credentials) as connection:
            yield SettlementClient(connection)


def run(output: Output, work: Coroutine[Any, Any, ExitCode]) -> None:
    """Runs a command's coroutine and ends the process with its exit code. Expected failures become a
    message; an unexpected one stays a traceback, because it is a fault of ours."""
    from silkledger.client.errors import RpcFailed
    from silkledger.client.ledger import NotReached
    from silkledger.client.organisation import NoSuchOrganisation
    from silkledger.keys import KeyFileError
    from silkledger.stack.directory import DirectoryInUse, NotAStack
    from silkledger.values import ValueShapeError

    try:
        code = asyncio.run(work)
    except CommandFailed as error:
        output.error(str(error), error.data)
        code = error.code
    except RpcFailed as error:
        code = ExitCode.UNAVAILABLE if error.retryable else ExitCode.REFUSED
        lines = [f"{violation.field}: {violation.description}" for violation in error.violations]
        output.error("\n  ".join([str(error), *lines]), error.to_json())
    except NotReached as error:
        code = ExitCode.TIMEOUT
        output.error(str(error), {"code": code.name, "message": str(error)})
    except (
        NoSuchOrganisation,
        NotAStack,
        DirectoryInUse,
        ValueShapeError,
        KeyFileError,
        FileNotFoundError,
    ) as error:
        code = ExitCode.USAGE
        output.error(str(error), {"code": code.name, "message": str(error)})
    raise typer.Exit(int(code))
