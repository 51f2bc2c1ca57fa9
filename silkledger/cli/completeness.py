"""`evidence completeness`: prove that certain events in a range of blocks are all there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from silkledger.cli.context import AllowUnsealed, CommandFailed, JsonOption, run
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output, local_time

if TYPE_CHECKING:
    from silkledger.evidence.completeness import CompletenessProof, EventQuestion
    from silkledger.evidence.completeness_verdict import CompletenessVerdict, ProvenEvent
    from silkledger.evidence.event_abi import EventDeclaration
    from silkledger.evidence.trust_roots import TrustRoots

app = typer.Typer(help="Prove that these are all the events of a kind in a range.", no_args_is_help=True)

TrustRootsOption = Annotated[
    Path, typer.Option("--trust-roots", help="What you pin: chain, contracts, blocks.")
]
ContractOption = Annotated[
    str, typer.Option("--contract", help="Name of a contract in the trust roots, or an address.")
]
EventOption = Annotated[
    str,
    typer.Option(
        "--event",
        help="Name of an event of that contract, or a declaration: 'Transfer(address indexed from, ...)'.",
    ),
]
FromOption = Annotated[int, typer.Option("--from", min=1, help="First block.")]
ToOption = Annotated[int, typer.Option("--to", min=1, help="Last block.")]


@app.callback()
def _group() -> None:
    """Prove that these are all the events of a kind in a range."""


@app.command("make")
def make(
    contract: ContractOption,
    event: EventOption,
    first: FromOption,
    last: ToOption,
    trust_roots: TrustRootsOption,
    out: Annotated[Path, typer.Option(help="Where to write the proof.")],
    node: Annotated[str, typer.Option(help="Read the blocks from the node at this URL.")] = "",
    engine: Annotated[str, typer.Option(help="Which engine that node is.")] = "",
    archive: Annotated[
        str, typer.Option(help="Or from the archive in a service's database at this URL.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Gather all events of one kind in a range of blocks, with the proof that there are no others.

    On an engine without seals the trust roots must pin a block at or after the last one.
    """
    output = Output(as_json)

    async def work() -> ExitCode:
        roots, question, _ = _asked(trust_roots, contract, event, first, last)
        data = (await _gathered(roots, question, node, engine, archive)).encode()
        out.write_bytes(data)
        result = {"proof": str(out), "bytes": len(data)}
        output.result(result, lambda: output.say(f"{out}: {len(data)} bytes"))
        return ExitCode.OK

    run(output, work())


@app.command("verify")
def verify(
    proof: Annotated[Path, typer.Argument(help="The proof.")],
    contract: ContractOption,
    event: EventOption,
    first: FromOption,
    last: ToOption,
    trust_roots: TrustRootsOption,
    allow_unsealed: AllowUnsealed = False,
    as_json: JsonOption = False,
) -> None:
    """Verify such a proof, with no network at all, and show the events. Say what you want to know: a proof
    of something else fails."""
    output = Output(as_json)

    async def work() -> ExitCode:
        from silkledger.cli.verdicts import from_evidence
        from silkledger.evidence.completeness_verdict import verify_completeness

        roots, question, declaration = _asked(trust_roots, contract, event, first, last)
        answer = verify_completeness(proof.read_bytes(), roots, question, declaration)
        code = from_evidence(answer.verdict).exit_code(allow_unsealed=allow_unsealed)
        data = {"proof": str(proof), **document(answer), "exitCode": int(code)}
        output.result(data, lambda: _show(output, answer, str(proof)))
        return code

    run(output, work())


def _asked(
    trust_roots: Path, contract: str, event: str, first: int, last: int
) -> tuple[TrustRoots, EventQuestion, EventDeclaration]:
    """Raises: CommandFailed, ValueShapeError, FileNotFoundError."""
    from silkledger.cli.offline import TrustRootsUnreadable, read_trust_roots
    from silkledger.evidence.completeness import EventQuestion
    from silkledger.values import Address

    try:
        roots = read_trust_roots(trust_roots)
    except TrustRootsUnreadable as error:
        raise CommandFailed(ExitCode.USAGE, f"{trust_roots}: {error}") from error
    if not contract.startswith("0x") and contract not in roots.contracts:
        raise CommandFailed(ExitCode.USAGE, f"{trust_roots} names no contract {contract}")
    address = roots.contracts.get(contract) or Address.from_hex(contract)
    declaration = _declaration(contract, event)
    try:
        return roots, EventQuestion(address, declaration.topic, first, last), declaration
    except ValueError as error:
        raise CommandFailed(ExitCode.USAGE, str(error)) from error


def _declaration(contract: str, event: str) -> EventDeclaration:
    from silkledger.evidence.event_abi import DeclarationError, EventDeclaration, Parameter
    from silkledger.evm.contracts import CONTRACTS, artifact

    if "(" in event:
        try:
            return EventDeclaration.parse(event)
        except DeclarationError as error:
            raise CommandFailed(ExitCode.USAGE, str(error)) from error
    entries = artifact(contract).events.values() if contract in CONTRACTS else ()
    for entry in entries:
        if entry.name == event:
            fields = zip(entry.names, entry.types, entry.indexed, strict=True)
            return EventDeclaration(event, tuple(Parameter(*field) for field in fields))
    known = ", ".join(sorted(entry.name for entry in entries)) or "none: give a declaration"
    raise CommandFailed(ExitCode.USAGE, f"{contract} has no event {event!r}; known: {known}")


async def _gathered(
    roots: TrustRoots, question: EventQuestion, node: str, engine: str, archive: str
) -> CompletenessProof:
    from silkledger.audit.databases import DatabaseUnreadable, snapshot
    from silkledger.evm.archive import Archive
    from silkledger.evm.engines import profile_named
    from silkledger.evm.failure import CaptureFailed
    from silkledger.evm.gather_events import gather_events
    from silkledger.evm.node import JsonRpcNode
    from silkledger.evm.port import NodeLied, NodeUnavailable

    if bool(node) == bool(archive) or bool(node) != bool(engine):
        raise CommandFailed(ExitCode.USAGE, "say either --node URL with --engine NAME, or --archive URL")
    try:
        if archive:
            async with snapshot("archive", archive) as connection:
                return await gather_events(Archive(connection, roots.engine), roots, question)
        client = JsonRpcNode(node, profile_named(engine))
        try:
            return await gather_events(client, roots, question)
        finally:
            await client.close()
    except NodeUnavailable as error:
        raise CommandFailed(ExitCode.UNAVAILABLE, str(error)) from error
    except (DatabaseUnreadable, ValueError) as error:
        raise CommandFailed(ExitCode.USAGE, str(error)) from error
    except (NodeLied, CaptureFailed) as error:
        reasons = list(error.reasons) if isinstance(error, CaptureFailed) else []
        raise CommandFailed(ExitCode.FAILED, str(error), {"reasons": reasons}) from error


def document(answer: CompletenessVerdict) -> dict[str, object]:
    """The answer as one JSON document; byte strings are hexadecimal, integers beyond 53 bits as they are."""
    from silkledger.cli.verdicts import from_evidence

    return {
        **from_evidence(answer.verdict).to_json(),
        "events": [_event(event) for event in answer.events],
        "trustRoots": list(answer.trust_roots),
        "notChecked": list(answer.not_checked),
    }


def _event(event: ProvenEvent) -> dict[str, object]:
    found: dict[str, object] = {
        "blockNumber": event.block.number,
        "blockHash": str(event.block.hash),
        "time": event.block.time,
        "transactionIndex": event.transaction_index,
        "logIndex": event.log_index,
        "receiptLogIndex": event.receipt_log_index,
        "topics": [f"0x{topic.hex()}" for topic in event.log.topics],
        "data": f"0x{event.log.data.hex()}",
    }
    if event.arguments is not None:
        found["arguments"] = {name: _plain(value) for name, value in event.arguments.items()}
    return found


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _show(output: Output, answer: CompletenessVerdict, title: str) -> None:
    from silkledger.cli.verdicts import from_evidence

    from_evidence(answer.verdict).show(output, title)
    if answer.verdict.outcome.good:
        rows = [
            (
                f"{event.block.number} ({local_time(event.block.time)})",
                event.transaction_index,
                event.log_index,
                ", ".join(f"{name}={_plain(value)}" for name, value in (event.arguments or {}).items()),
            )
            for event in answer.events
        ]
        output.table(f"All {len(rows)} events", ("block", "transaction", "log", "arguments"), rows)
    for sentence in answer.trust_roots:
        output.say(f"[dim]trusted: {escape(sentence)}[/]")
    for sentence in answer.not_checked:
        output.say(f"[dim]not checked: {escape(sentence)}[/]")
