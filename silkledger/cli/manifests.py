"""`manifest`: many documents under one signature; register, submit again, show, prove."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silkledger.cli.context import (
    DEFAULT_DATA,
    AsOption,
    CommandFailed,
    DataOption,
    JsonOption,
    Session,
    run,
)
from silkledger.cli.documents import STAGES, Wait, anchor_text, stage_number, stage_of, statement_json
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output

if TYPE_CHECKING:
    from silkledger.client.manifests import HeldManifest

app = typer.Typer(
    help="Manifests: many documents under one signature; register, show, prove.", no_args_is_help=True
)

File = Annotated[Path, typer.Argument(help="The manifest file that `manifest register` wrote.")]


@app.command("register")
def register(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Manifest file to write: what proves each document. Keep it.")
    ],
    document_type: Annotated[
        str, typer.Option("--type", help="UN/EDIFACT 1001 code of all the documents, e.g. 380.")
    ],
    subject: Annotated[str, typer.Option(help="What the manifest is, e.g. invoices/2026-11.")],
    documents: Annotated[
        list[Path] | None, typer.Argument(help="Documents, and folders of documents: up to 10,000.")
    ] = None,
    listing: Annotated[
        Path | None, typer.Option("--list", help="CSV of documents: file or digest, and name, subject.")
    ] = None,
    supersedes: Annotated[str, typer.Option(help="Statement id that this manifest supersedes.")] = "",
    wait: Wait = "final",
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Hash documents, sign one manifest over them here, register it, and wait.

    The manifest file is written before anything is sent. It holds the leaves with their salts; only digests
    and salted subjects leave this machine.
    """
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        from silkledger.cli.document_lists import documents_of
        from silkledger.client.manifests import sign_documents
        from silkledger.envelope import StatementError
        from silkledger.values import DocumentType, StatementId

        stage, organisation = stage_number(wait), session.organisation
        if out.exists():
            raise CommandFailed(ExitCode.USAGE, f"{out} exists; `manifest submit` submits it again")
        try:
            held = sign_documents(
                organisation.account(),
                organisation.did,
                documents_of(documents or [], listing),
                subject=subject,
                document_type=DocumentType(document_type),
                supersedes=StatementId.from_hex(supersedes) if supersedes else None,
            )
        except StatementError as error:
            raise CommandFailed(ExitCode.USAGE, f"{error.field}: {error.detail}") from error
        held.save(out)
        return await _submit(session, out, held, stage)

    run(output, work())


@app.command("submit")
def submit(
    file: File,
    wait: Wait = "final",
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Submit a manifest file again, e.g. after a lost reply. What is registered already is not logged twice;
    a service that lost the leaves has them again.
    """
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        return await _submit(session, file, _held(file), stage_number(wait))

    run(output, work())


async def _submit(session: Session, file: Path, held: HeldManifest, stage: int) -> ExitCode:
    from silkledger.chain.v1 import chain_pb2 as chain

    output = session.output
    async with session.ledger() as ledger:
        response = await ledger.register_manifest(held.raw, held.leaves)
        held.with_promise(response.promise).save(file)
        with output.progress(f"waiting until {STAGES[stage - 1]}", None):
            wanted = chain.EvidenceStage.ValueType(stage)
            (statement,) = await ledger.wait_for_stage([held.statement_id], wanted)
    facts = [
        ("manifest file", str(file)),
        ("statement id", str(held.statement_id)),
        ("documents", len(held.documents)),
        ("stage", stage_of(statement)),
        ("anchored in block", anchor_text(statement)),
    ]
    result = {
        "manifestFile": str(file),
        "documents": len(held.documents),
        "alreadyRegistered": response.already_registered,
        **statement_json(statement),
    }
    output.result(result, lambda: output.facts("Registered", facts))
    return ExitCode.OK


@app.command("show")
def show(file: File, as_json: JsonOption = False) -> None:
    """List the documents of a manifest file. Offline."""
    output = Output(as_json)

    async def work() -> ExitCode:
        held = _held(file)
        rows = [
            (index, item.name, item.subject, str(item.leaf.digest))
            for index, item in enumerate(held.documents)
        ]
        result = {
            "statementId": str(held.statement_id),
            "issuer": str(held.manifest.issuer),
            "subject": held.manifest.subject,
            "documentType": str(held.manifest.document_type),
            "promised": held.promise is not None,
            "documents": [
                {"index": index, "name": name, "subject": about, "digest": digest}
                for index, name, about, digest in rows
            ],
        }
        title = f"{held.manifest.subject}: {held.statement_id}"
        output.result(result, lambda: output.table(title, ("", "name", "subject", "SHA-256"), rows))
        return ExitCode.OK

    run(output, work())


@app.command("prove")
def prove(
    file: File,
    document: Annotated[Path, typer.Argument(help="The document, exactly as it was registered.")],
    evidence: Annotated[
        Path, typer.Option(help="Evidence file of any document of the manifest (`document evidence`).")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the evidence file.")],
    as_json: JsonOption = False,
) -> None:
    """Write the evidence file of one document of a manifest, from that of any other. Offline.

    One answer of the service is enough for all the documents of a manifest.
    """
    output = Output(as_json)

    async def work() -> ExitCode:
        from silkledger.client.manifests import ManifestFileError
        from silkledger.client.signing import digest_of_file
        from silkledger.evidence.errors import EvidenceInvalid

        held = _held(file)
        found = held.indices_of(digest_of_file(document))
        if not found:
            raise CommandFailed(ExitCode.USAGE, f"{document} is no document of {file}")
        try:
            bundle = held.prove(evidence.read_bytes(), found[0])
        except (EvidenceInvalid, ManifestFileError) as error:
            raise CommandFailed(ExitCode.USAGE, f"{evidence}: {error}") from error
        out.write_bytes(bundle)
        result = {"document": str(document), "index": found[0], "file": str(out), "bytes": len(bundle)}
        output.result(result, lambda: output.say(f"{out}: {len(bundle)} bytes"))
        return ExitCode.OK

    run(output, work())


def _held(file: Path) -> HeldManifest:
    """Raises: CommandFailed USAGE, FileNotFoundError."""
    from silkledger.client.manifests import HeldManifest, ManifestFileError

    try:
        return HeldManifest.load(file)
    except ManifestFileError as error:
        raise CommandFailed(ExitCode.USAGE, f"{file}: {error}") from error
