"""`status-list`: issue signed status lists, fetch them, and verify them offline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from silkledger.cli.context import (
    DEFAULT_DATA,
    AllowUnsealed,
    AsOption,
    CommandFailed,
    DataOption,
    JsonOption,
    Session,
    run,
)
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output, block_text, local_time

if TYPE_CHECKING:
    from silkledger.evidence.list_verdict import ListVerdict
    from silkledger.identity.v1 import identity_pb2 as pb

app = typer.Typer(help="Status lists of credentials: issue, get, verify.", no_args_is_help=True)

Series = Annotated[str, typer.Argument(help="Id of the series: the URL that credentials name.")]
Issuer = Annotated[str, typer.Argument(help="Alias or DID of the issuer.")]
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@app.command("issue")
def issue(
    series: Series,
    purpose: Annotated[str, typer.Option(help="revocation or suspension.")] = "revocation",
    set_: Annotated[list[int] | None, typer.Option("--set", help="Entry to set; may be repeated.")] = None,
    clear: Annotated[
        list[int] | None, typer.Option(help="Entry to clear, in a series about suspension; may be repeated.")
    ] = None,
    entries: Annotated[int, typer.Option(help="Entries of a new series.")] = 131_072,
    valid_days: Annotated[int, typer.Option(min=0, help="Days until it runs out; 0: never.")] = 0,
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Sign the next list of a series here, have it recorded on chain, and wait until that is final.

    The Ed25519 key that signs lists is made in orgs/<alias> when there is none, and published in the
    organisation's identity.
    """
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        from silkledger.client.status_lists import Change, NotRecorded, StatusListIssuer
        from silkledger.status_bits import BitsInvalid, IndexOutOfRange
        from silkledger.status_list import StatusListError

        until = timedelta(days=valid_days) if valid_days else None
        change = Change(set_ or (), clear or (), entries, until)
        async with session.identity() as identity:
            issuer = StatusListIssuer(
                identity, session.organisation.did, session.call_signer(), _lists_key(session)
            )
            try:
                issued = await issuer.issue(series, purpose, change)
            except (BitsInvalid, IndexOutOfRange, StatusListError) as error:
                raise CommandFailed(ExitCode.USAGE, str(error)) from error
            except NotRecorded as error:
                raise CommandFailed(ExitCode.REFUSED, str(error)) from error
        _show(output, issued)
        return ExitCode.OK

    run(output, work())


def _lists_key(session: Session) -> Any:
    from silkledger.keys import Suite, generate, load_key, save_key

    path = session.organisation.lists_key_file
    if not path.exists():
        save_key(path, generate(Suite.EDDSA))
    return load_key(path)


@app.command("get")
def get(
    issuer: Issuer,
    series: Series,
    sequence: Annotated[int | None, typer.Option(min=0, help="By its number.")] = None,
    as_of_block: Annotated[int | None, typer.Option(min=1, help="In force at this final block.")] = None,
    as_of_time: Annotated[
        str, typer.Option(help="In force at this time, YYYY-MM-DDThh:mm:ssZ; default: now.")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Where to write the signed list.")] = None,
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Fetch one list of a series. What the service says of it is its word: `verify` takes nobody's."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        unix = int(_time(as_of_time).timestamp()) if as_of_time else None
        if sum(item is not None for item in (sequence, as_of_block, unix)) > 1:
            raise CommandFailed(ExitCode.USAGE, "name a number, a block or a time, not two of them")
        async with session.identity(operator=not session.alias) as identity:
            found = await identity.status_list(
                _did(session, issuer), series, sequence=sequence, as_of_block=as_of_block, as_of_time=unix
            )
        if out is not None:
            out.write_bytes(found.content)
        _show(output, found)
        return ExitCode.OK

    run(output, work())


@app.command("list")
def list_(
    issuer: Issuer,
    series: Annotated[str, typer.Option(help="One series only.")] = "",
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """The lists of an issuer that the service holds."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        async with session.identity(operator=not session.alias) as identity:
            found = [item async for item in identity.list_status_lists(_did(session, issuer), id_=series)]
        rows = [(i.id, str(i.sequence), i.purpose, _stage(i), _recorded(i)) for i in found]
        head = ("series", "number", "purpose", "stage", "recorded in block")
        output.result(
            {"statusLists": [_json(item) for item in found]},
            lambda: output.table("Status lists", head, rows),
        )
        return ExitCode.OK

    run(output, work())


@app.command("equivocation")
def equivocation(
    issuer: Issuer,
    series: Series,
    sequence: Annotated[int, typer.Argument(min=0, help="The number that was signed twice.")],
    out: Annotated[Path, typer.Option(help="Where to write the proof.")],
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Fetch the proof that an issuer signed two lists under one number (see `evidence equivocation`)."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        async with session.identity(operator=not session.alias) as identity:
            proof = await identity.status_list_equivocation(_did(session, issuer), series, sequence)
        out.write_bytes(proof)
        result = {"proof": str(out), "bytes": len(proof)}
        output.result(result, lambda: output.say(f"{out}: {len(proof)} bytes"))
        return ExitCode.OK

    run(output, work())


@app.command("verify")
def verify(
    status_list: Annotated[Path, typer.Argument(help="The signed list.")],
    trust_roots: Annotated[Path, typer.Option(help="What you pin: chain, contracts, blocks.")],
    events: Annotated[
        Path | None,
        typer.Option(
            help="Completeness proof of StatusListPublished: shows that the list is recorded and the newest."
        ),
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(help="Evidence file of any statement by the issuer: shows whose key signed."),
    ] = None,
    issuer_key: Annotated[str, typer.Option(help="Or the issuer's key as Multikey, if you pin it.")] = "",
    index: Annotated[list[int] | None, typer.Option(help="Entry to tell; may be repeated.")] = None,
    at: Annotated[str, typer.Option(help="Valid at this time, YYYY-MM-DDThh:mm:ssZ; default: now.")] = "",
    allow_unsealed: AllowUnsealed = False,
    as_json: JsonOption = False,
) -> None:
    """Verify a list with no network at all, and tell its entries. Without a proof of the recorded events, or
    without anything that shows whose key it is, the answer is INCOMPLETE."""
    output = Output(as_json)

    async def work() -> ExitCode:
        from silkledger.cli.offline import TrustRootsUnreadable, read_trust_roots
        from silkledger.cli.verdicts import from_evidence
        from silkledger.evidence.errors import EvidenceInvalid
        from silkledger.evidence.list_verdict import Shown, verify_status_list
        from silkledger.keys import KeyShapeError, VerifyingKey

        try:
            shown = Shown(
                VerifyingKey.from_multikey(issuer_key) if issuer_key else None,
                evidence.read_bytes() if evidence is not None else None,
                events.read_bytes() if events is not None else None,
            )
            roots = read_trust_roots(trust_roots)
        except (KeyShapeError, TrustRootsUnreadable) as error:
            raise CommandFailed(ExitCode.USAGE, str(error)) from error
        when = _time(at) if at else datetime.now(UTC)
        answer = verify_status_list(status_list.read_bytes(), roots, when, shown)
        try:
            told = {entry: answer.is_set(entry) for entry in index or ()}
        except EvidenceInvalid as error:
            raise CommandFailed(ExitCode.USAGE, f"--index: {error.detail}") from error
        view = from_evidence(answer.verdict)
        code = view.exit_code(allow_unsealed=allow_unsealed)
        output.result(
            {**view.to_json(), **_facts(answer, told), "exitCode": int(code)},
            lambda: _show_verdict(output, answer, told, str(status_list)),
        )
        return code

    run(output, work())


def _facts(answer: ListVerdict, told: dict[int, bool | None]) -> dict[str, Any]:
    signed, blocks = answer.signed, answer.range
    return {
        "statusList": None
        if signed is None
        else {
            "issuer": str(signed.issuer),
            "id": signed.id,
            "sequence": signed.sequence,
            "purpose": signed.purpose,
            "digest": str(signed.digest),
        },
        "blocks": list(blocks) if blocks else None,
        "entries": {str(entry): value for entry, value in told.items()},
    }


def _show_verdict(output: Output, answer: ListVerdict, told: dict[int, bool | None], title: str) -> None:
    from silkledger.cli.verdicts import from_evidence

    from_evidence(answer.verdict).show(output, title)
    signed = answer.signed
    if signed is None:
        return
    word = {"revocation": "revoked", "suspension": "suspended"}[signed.purpose]
    pairs: list[tuple[str, object]] = [
        ("issuer", signed.issuer),
        ("series", signed.id),
        ("number", signed.sequence),
    ]
    pairs += [(f"entry {entry}", word if value else f"not {word}") for entry, value in told.items()]
    output.facts("", pairs)


def _did(session: Session, who: str) -> str:
    from silkledger.client.organisation import Organisation

    if who.startswith("did:"):
        return who
    return Organisation.load(session.directory.organisation(who)).profile.did


def _time(text: str) -> datetime:
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise CommandFailed(ExitCode.USAGE, f"{text!r} is no time of the form YYYY-MM-DDThh:mm:ssZ") from None


def _stage(item: pb.StatusList) -> str:
    from silkledger.chain.v1 import chain_pb2

    return chain_pb2.EvidenceStage.Name(item.stage).removeprefix("EVIDENCE_STAGE_").lower()


def _recorded(item: pb.StatusList) -> str:
    return block_text(item.recorded_at.number, item.recorded_at.time.seconds) if item.recorded_digest else ""


def _json(item: pb.StatusList) -> dict[str, Any]:
    return {
        "issuer": item.issuer,
        "id": item.id,
        "sequence": item.sequence,
        "purpose": item.purpose,
        "digest": "0x" + item.digest.hex(),
        "entries": item.entries,
        "acceptedAt": item.accepted_at.seconds,
        "stage": _stage(item),
        "recordedAt": item.recorded_at.number,
        "recordedDigest": "0x" + item.recorded_digest.hex() if item.recorded_digest else "",
        "equivocated": item.equivocated,
    }


def _show(output: Output, found: pb.GetStatusListResponse) -> None:
    item = found.status_list
    double = "yes: `status-list equivocation` has the proof" if item.equivocated else ""
    pairs = [
        ("issuer", item.issuer),
        ("series", item.id),
        ("number", str(item.sequence)),
        ("purpose", item.purpose),
        ("entries", str(item.entries)),
        ("digest", "0x" + item.digest.hex()),
        ("accepted", local_time(item.accepted_at.seconds)),
        ("stage", _stage(item)),
        ("recorded in block", _recorded(item)),
        ("as of block", block_text(found.as_of.number, found.as_of.time.seconds)),
        ("signed twice", double),
    ]
    output.result({**_json(item), "asOf": found.as_of.number}, lambda: output.facts("", pairs))
