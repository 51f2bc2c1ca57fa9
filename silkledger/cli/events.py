"""`events follow`: the chain's events as the ledger service streams them, one line each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from silkledger.cli.context import (
    DEFAULT_DATA,
    AsOption,
    DataOption,
    Session,
    run,
)
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output, block_text

if TYPE_CHECKING:
    from silkledger.client.events import EventItem, EventWish

app = typer.Typer(help="The chain's events, as they come.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The chain's events, as they come."""


@app.command("follow")
def follow(
    consumer: Annotated[
        str, typer.Option(help="Name under which the service keeps how far you are.")
    ] = "cli",
    event: Annotated[list[str] | None, typer.Option(help="Only events of this name. Repeatable.")] = None,
    contract: Annotated[list[str] | None, typer.Option(help="Only of this contract. Repeatable.")] = None,
    organisation: Annotated[
        list[str] | None, typer.Option(help="Only events that name this DID's account. Repeatable.")
    ] = None,
    argument: Annotated[
        list[str] | None, typer.Option(help="Only events with this argument, NAME=VALUE. Repeatable.")
    ] = None,
    final_only: Annotated[bool, typer.Option("--final-only", help="Only events of final blocks.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="End after so many events. 0: go on.")] = 0,
    until_head: Annotated[
        bool, typer.Option("--until-head", help="End when the newest block is reached.")
    ] = False,
    alias: AsOption = "",
    data: DataOption = DEFAULT_DATA,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document a line on stdout, for programs.")
    ] = False,
) -> None:
    """Print events from where this consumer stopped the last time, and acknowledge each once it is printed.

    Events come at least once. `retracted`: blocks after the one named were undone, and what was printed from
    them no longer holds. `gap`: the same, when the service could not tell it while it happened.
    """
    from silkledger.client.events import EventWish

    output = Output(as_json)
    session = Session(data, alias, output)
    wish = EventWish(
        consumer,
        event_names=event or (),
        contracts=contract or (),
        organisations=organisation or (),
        arguments=_arguments(argument or []),
        final_only=final_only,
    )
    run(output, _follow(session, wish, limit, until_head))


def _arguments(texts: list[str]) -> dict[str, list[str]]:
    """`NAME=VALUE` by name: the values of one name are alternatives."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise typer.BadParameter("must be NAME=VALUE", param_hint="--argument")
        found.setdefault(name, []).append(value)
    return found


async def _follow(session: Session, wish: EventWish, limit: int, until_head: bool) -> ExitCode:
    from silkledger.client import Connection
    from silkledger.client.events import EventStream
    from silkledger.ledger.v1 import ledger_pb2 as pb

    printed = 0
    endpoint = session.network_file.endpoints["ledger"]
    async with (
        Connection(endpoint, session.credentials) as connection,
        EventStream(connection, wish) as stream,
    ):
        async for item in stream:
            _print(session.output, item)
            stream.acknowledge(item)
            printed += isinstance(item, pb.ChainEvent)
            if limit and printed >= limit:
                break
            if until_head and isinstance(item, pb.Progress) and item.caught_up:
                break
    return ExitCode.OK


def _print(output: Output, item: EventItem) -> None:
    document, text = _shown(item)
    if output.as_json:
        output.console.file.write(json.dumps(document, ensure_ascii=False) + "\n")
    elif text:
        output.console.file.write(text + "\n")
    output.console.file.flush()


def _shown(item: EventItem) -> tuple[dict[str, Any], str]:
    """For programs, and for people."""
    from silkledger.ledger.v1 import ledger_pb2 as pb

    if isinstance(item, pb.ChainEvent):
        seconds = item.block.time.seconds
        document = {
            "item": "event",
            "block": item.block.number,
            "block_hash": item.block.hash.hex(),
            "block_time": seconds,
            "log_index": item.cursor.log_index,
            "transaction": item.transaction_hash.hex(),
            "contract": item.contract_name,
            "name": item.name,
            "arguments": json.loads(item.arguments_json),
        }
        where = block_text(item.block.number, seconds)
        return document, f"{where}  {item.contract_name}.{item.name}  {item.arguments_json}"
    if isinstance(item, pb.Retracted):
        ancestor = item.ancestor.number
        return {"item": "retracted", "ancestor": ancestor}, f"retracted: every block after {ancestor}"
    if isinstance(item, pb.Gap):
        start = getattr(item, "from").block_number
        return {"item": "gap", "from": start, "reason": item.reason}, f"gap: again from block {start}"
    if isinstance(item, pb.Progress):
        place = item.cursor.block_number
        return {"item": "progress", "block": place, "caught_up": item.caught_up}, ""
    after = None if item.after is None else item.after.block_number
    return {"item": "resumed", "after": after}, "resumed: the connection was lost; events may come again"
