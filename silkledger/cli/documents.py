"""`document`: register, verify, evidence, revoke, supersede, show."""

from __future__ import annotations

import mimetypes
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
    from silkledger.client import LedgerClient
    from silkledger.ledger.v1 import ledger_pb2 as pb
    from silkledger.values import StatementId

app = typer.Typer(help="Documents: register, verify, evidence, revoke, supersede.", no_args_is_help=True)

STAGES = ("accepted", "logged", "anchored", "final")

Wait = Annotated[
    str, typer.Option(help="Return when this stage is reached: accepted, logged, anchored or final.")
]
Relying = Annotated[str, typer.Option(help="Country that relies on the document, ISO 3166-1 alpha-2.")]
Statement = Annotated[str, typer.Argument(help="Statement id (hex).")]
Reason = Annotated[int, typer.Option(min=0, max=255, help="Reason number, docs/formats/contracts.md.")]


def stage_number(name: str) -> int:
    if name not in STAGES:
        raise CommandFailed(ExitCode.USAGE, f"--wait takes one of {', '.join(STAGES)}, not {name!r}")
    return STAGES.index(name) + 1


def _id(text: str) -> StatementId:
    from silkledger.values import StatementId

    return StatementId.from_hex(text)


def content_type_of(path: Path) -> str:
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


@app.command("register")
def register(
    files: Annotated[list[Path], typer.Argument(help="Documents; each becomes one signed statement.")],
    document_type: Annotated[str, typer.Option("--type", help="UN/EDIFACT 1001 code, e.g. 705.")],
    subject: Annotated[
        str,
        typer.Option(help="What it is about, e.g. a URN of the bill of lading. Default: the file's name."),
    ] = "",
    content_type: Annotated[str, typer.Option(help="Media type. Default: by the file's name.")] = "",
    supersedes: Annotated[str, typer.Option(help="Statement id that this document supersedes.")] = "",
    wait: Wait = "final",
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Hash and sign documents here, register the statements, and wait. Only digests leave this machine."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        stage = stage_number(wait)
        signed = _sign_all(session, files, document_type, subject, content_type, supersedes)
        return await _register(session, files, signed, stage)

    run(output, work())


def _sign_all(
    session: Session, files: list[Path], document_type: str, subject: str, content_type: str, supersedes: str
) -> list[bytes]:
    from silkledger.client.signing import digest_of_file, sign_document
    from silkledger.values import DocumentType

    organisation = session.organisation
    account = organisation.account()
    signed = []
    with session.output.progress("hashing and signing", len(files)) as advance:
        for path in files:
            signed.append(
                sign_document(
                    account,
                    organisation.did,
                    digest=digest_of_file(path),
                    subject=subject or f"urn:silkledger:file:{path.name}",
                    document_type=DocumentType(document_type),
                    content_type=content_type or content_type_of(path),
                    supersedes=_id(supersedes) if supersedes else None,
                )
            )
            advance(1)
    return signed


async def _register(session: Session, files: list[Path], signed: list[bytes], stage: int) -> ExitCode:
    from silkledger.chain.v1 import chain_pb2 as chain
    from silkledger.client.ledger import batches
    from silkledger.values import StatementId

    entries: list[tuple[Path, StatementId, bool]] = []
    async with session.ledger() as ledger:
        paths = iter(files)
        with session.output.progress("registering", len(files)) as advance:
            for batch in batches(signed):
                response = await ledger.register(batch)
                for item in response.statements:
                    entries.append((next(paths), StatementId(item.statement_id), item.already_registered))
                advance(len(batch))
        statements: list[Any] = []
        with session.output.progress(f"waiting until {STAGES[stage - 1]}", len(entries)) as advance:
            for _, statement_id, _ in entries:
                wanted = chain.EvidenceStage.Name(chain.EvidenceStage.ValueType(stage))
                statements += await ledger.wait_for_stage([statement_id], chain.EvidenceStage.Value(wanted))
                advance(1)
    _show_registered(session.output, entries, statements)
    return ExitCode.OK


def _show_registered(
    output: Output, entries: list[tuple[Path, StatementId, bool]], statements: list[Any]
) -> None:
    documents = [
        {"file": str(path), "alreadyRegistered": already, **statement_json(statement)}
        for (path, _, already), statement in zip(entries, statements, strict=True)
    ]
    rows = [
        (path.name, statement_id, stage_of(statement), anchor_text(statement))
        for (path, statement_id, _), statement in zip(entries, statements, strict=True)
    ]
    output.result(
        {"documents": documents},
        lambda: output.table("Registered", ("document", "statement id", "stage", "anchored in block"), rows),
    )


def stage_of(statement: pb.Statement) -> str:
    from silkledger.chain.v1 import chain_pb2 as chain

    return chain.EvidenceStage.Name(statement.stage).removeprefix("EVIDENCE_STAGE_").lower()


def anchor_text(statement: pb.Statement) -> str:
    if not statement.HasField("anchor"):
        return ""
    return block_text(statement.anchor.block.number, statement.anchor.block.time.seconds)


def statement_json(statement: pb.Statement) -> dict[str, Any]:
    block = statement.anchor.block if statement.HasField("anchor") else None
    return {
        "statementId": "0x" + statement.statement_id.hex(),
        "issuer": statement.issuer,
        "subject": statement.subject,
        "documentType": statement.document_type,
        "digest": "0x" + statement.document_digest.hex() if statement.document_digest else None,
        "manifestSize": statement.manifest_size if statement.HasField("manifest_size") else None,
        "documentIndex": statement.document_index if statement.HasField("document_index") else None,
        "stage": stage_of(statement),
        "acceptedAt": statement.accepted_at.ToJsonString(),
        "leafIndex": statement.leaf_index if statement.HasField("leaf_index") else None,
        "anchorBlock": {"number": block.number, "time": block.time.seconds} if block else None,
        "supersedes": "0x" + statement.supersedes.hex() if statement.supersedes else None,
    }


@app.command("show")
def show(
    statement: Statement, data: DataOption = DEFAULT_DATA, alias: AsOption = "", as_json: JsonOption = False
) -> None:
    """Show one registered statement and its stage."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        async with session.ledger() as ledger:
            found = await ledger.statement(_id(statement))
        facts = [
            ("statement id", "0x" + found.statement_id.hex()),
            ("issuer", found.issuer),
            ("subject", found.subject),
            ("document type", found.document_type),
            ("document digest", "0x" + found.document_digest.hex() if found.document_digest else ""),
            ("documents in it", found.manifest_size if found.HasField("manifest_size") else ""),
            ("stage", stage_of(found)),
            ("accepted", local_time(found.accepted_at.seconds)),
            ("leaf", found.leaf_index if found.HasField("leaf_index") else ""),
            ("anchored in block", anchor_text(found)),
        ]
        output.result(statement_json(found), lambda: output.facts("", facts))
        return ExitCode.OK

    run(output, work())


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(help="The document.")],
    relying: Relying,
    as_of: Annotated[int | None, typer.Option(help="Block; default: the last final one.")] = None,
    allow_unsealed: AllowUnsealed = False,
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Ask the ledger service for its verdict on a document. No proof: `evidence verify` gives one."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        from silkledger.cli.verdicts import from_proto
        from silkledger.client.signing import digest_of_file

        async with session.ledger() as ledger:
            answer = await ledger.verify(digest_of_file(file), relying, as_of_block=as_of)
        verdict = from_proto(answer.verdict)
        code = verdict.exit_code(allow_unsealed=allow_unsealed)
        found = [
            {"statementId": "0x" + s.statement.statement_id.hex(), **from_proto(s.verdict).to_json()}
            for s in answer.statements
        ]
        document = {"document": str(file), **verdict.to_json(), "statements": found, "exitCode": int(code)}
        output.result(document, lambda: verdict.show(output, str(file)))
        return code

    run(output, work())


@app.command("evidence")
def evidence(
    statement: Statement,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the evidence file.")],
    relying: Relying,
    document: Annotated[
        Path | None, typer.Option(help="Of a manifest: the document in it that the evidence is for.")
    ] = None,
    as_of: Annotated[
        int | None,
        typer.Option(
            help="Block; default: the last final one. If its state is gone: as of a later one, to be "
            "verified with the same --as-of."
        ),
    ] = None,
    trust_roots: Annotated[
        Path | None, typer.Option(help="As of the newest block that this trust roots file pins.")
    ] = None,
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write the evidence file of a statement, for offline verification.

    On an engine without seals only a pinned block can be verified offline: use --trust-roots with the file
    that `audit replay --trust-roots` wrote.
    """
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        block = as_of if trust_roots is None else _newest_pin(trust_roots)
        async with session.ledger() as ledger:
            index = None if document is None else await _index_of(ledger, _id(statement), document)
            bundle = await ledger.evidence(_id(statement), relying, as_of_block=block, document_index=index)
        out.write_bytes(bundle)
        result = {"statementId": statement, "file": str(out), "bytes": len(bundle)}
        output.result(result, lambda: output.say(f"{out}: {len(bundle)} bytes"))
        return ExitCode.OK

    run(output, work())


async def _index_of(ledger: LedgerClient, manifest: StatementId, document: Path) -> int:
    """Where the document stands in the manifest, by the service. Raises: CommandFailed NOT_REGISTERED."""
    from silkledger.client.signing import digest_of_file

    async for found in ledger.list_statements(digest=digest_of_file(document)):
        if found.statement_id == bytes(manifest) and found.HasField("document_index"):
            return found.document_index
    raise CommandFailed(ExitCode.NOT_REGISTERED, f"{document} is in no manifest {manifest} of this ledger")


def _newest_pin(path: Path) -> int:
    from silkledger.cli.offline import TrustRootsUnreadable, read_trust_roots

    try:
        pinned = read_trust_roots(path).pinned_blocks
    except TrustRootsUnreadable as error:
        raise CommandFailed(ExitCode.USAGE, f"{path}: {error}") from error
    if not pinned:
        raise CommandFailed(ExitCode.USAGE, f"{path} pins no block beside genesis")
    return max(pinned)


@app.command("revoke")
def revoke(
    statement: Statement,
    reason: Reason = 1,
    since: Annotated[int, typer.Option(help="Effective since this block; 0: the present final one.")] = 0,
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Revoke one's own statement, by a call signed here. A later revocation never rewrites what was known."""
    _change_status(Session(data, alias, Output(as_json)), statement, "", reason, since)


@app.command("supersede")
def supersede(
    statement: Statement,
    by: Annotated[str, typer.Option(help="Statement id of the document that takes its place.")],
    reason: Reason = 1,
    since: Annotated[int, typer.Option(help="Effective since this block; 0: the present final one.")] = 0,
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Mark one's own statement as superseded by another."""
    _change_status(Session(data, alias, Output(as_json)), statement, by, reason, since)


def _change_status(session: Session, statement: str, by: str, reason: int, since: int) -> None:
    async def work() -> ExitCode:
        from silkledger.cli.identities import show_call
        from silkledger.client.identity import wait_for_call

        signer = session.call_signer()
        async with session.ledger() as ledger:
            effective = since or (await ledger.network()).final.number
            if by:
                call = signer.supersede_document(_id(statement), _id(by), reason, effective)
            else:
                call = signer.revoke_document(_id(statement), reason, effective)
            await ledger.relay(call)
            status = await wait_for_call(ledger, call)
        return show_call(session.output, status, f"{'superseded' if by else 'revoked'} {statement}")

    run(session.output, work())
