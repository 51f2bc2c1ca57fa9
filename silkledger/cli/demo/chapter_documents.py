"""Documents are registered; one is revoked, one superseded; what nobody may issue is refused."""

from __future__ import annotations

import asyncio

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.cli.demo.cast import Document, Stage, documents
from silkledger.cli.demo.chapter_trust import final_block
from silkledger.cli.output import block_text
from silkledger.client import RpcFailed
from silkledger.client.identity import wait_for_call
from silkledger.client.signing import digest_of_file, sign_document
from silkledger.values import DocumentType, StatementId

ORIGINAL = "bill-of-lading.json"
CORRECTED = "bill-of-lading-corrected.json"
REVOKED = "certificate-of-origin.pdf"

_SUPERSEDED_BY_CORRECTION = 1
_ISSUED_IN_ERROR = 1


async def register_documents(stage: Stage) -> None:
    """All issuers at once; everything but the correction, which comes later."""
    found = {name: item for name, item in documents().items() if name != CORRECTED}
    await asyncio.gather(
        *(_register(stage, alias, found) for alias in sorted({d.issuer for d in found.values()}))
    )
    rows = []
    stages = []
    for alias in sorted({d.issuer for d in found.values()}):
        async with stage.session(alias).ledger() as ledger:
            for name, item in found.items():
                if item.issuer == alias:
                    statement = await ledger.statement(StatementId(stage.statements[name]))
                    block = statement.anchor.block
                    stages.append(statement.stage)
                    rows.append(
                        (name, item.document_type, alias, block_text(block.number, block.time.seconds))
                    )
    stage.narrator.table("Registered", ("document", "type", "issuer", "anchored in block"), rows)
    stage.narrator.claim(
        f"{len(rows)} documents accepted, logged, anchored and final; only digests left their owners",
        len(rows) == len(found) and all(s == chain.EVIDENCE_STAGE_FINAL for s in stages),
    )


async def _register(stage: Stage, alias: str, found: dict[str, Document]) -> None:
    names = [name for name, item in found.items() if item.issuer == alias]
    signed = [_sign(stage, found[name]) for name in names]
    async with stage.session(alias).ledger() as ledger:
        response = await ledger.register(signed)
        for name, item in zip(names, response.statements, strict=True):
            stage.statements[name] = bytes(item.statement_id)
        ids = [StatementId(item.statement_id) for item in response.statements]
        await ledger.wait_for_stage(ids, chain.EVIDENCE_STAGE_FINAL)


def _sign(stage: Stage, item: Document, supersedes: bytes | None = None, document_type: str = "") -> bytes:
    organisation = stage.session(item.issuer).organisation
    return sign_document(
        organisation.account(),
        organisation.did,
        digest=digest_of_file(item.file),
        subject=item.subject,
        document_type=DocumentType(document_type or item.document_type),
        content_type=item.content_type,
        supersedes=StatementId(supersedes) if supersedes else None,
    )


async def refuse_what_is_not_accredited(stage: Stage) -> None:
    """The maritime agency may not issue bills of lading."""
    item = documents()["crew-certificate.pdf"]
    reason = "accepted"
    async with stage.session(item.issuer).ledger() as ledger:
        try:
            await ledger.register([_sign(stage, item, document_type="705")])
        except RpcFailed as error:
            reason = error.reason
    stage.narrator.claim(
        "an issuer that is not accredited for a document type is refused, and nothing is written",
        reason == "ISSUER_NOT_ACCREDITED",
        reason,
    )


async def revoke_and_supersede(stage: Stage) -> None:
    """Both at once, by calls that the issuer signed."""
    item = documents()[CORRECTED]
    session = stage.session(item.issuer)
    signer = session.call_signer()
    effective = await final_block(stage)
    async with session.ledger() as ledger:
        response = await ledger.register([_sign(stage, item, supersedes=stage.statements[ORIGINAL])])
        corrected = StatementId(response.statements[0].statement_id)
        stage.statements[CORRECTED] = bytes(corrected)
        original = StatementId(stage.statements[ORIGINAL])
        calls = [
            signer.revoke_document(StatementId(stage.statements[REVOKED]), _ISSUED_IN_ERROR, effective),
            signer.supersede_document(original, corrected, _SUPERSEDED_BY_CORRECTION, effective),
        ]
        await asyncio.gather(*(ledger.relay(call) for call in calls))
        statuses = await asyncio.gather(*(wait_for_call(ledger, call) for call in calls))
        await ledger.wait_for_stage([corrected], chain.EVIDENCE_STAGE_FINAL)
    stage.narrator.claim(
        "one document revoked and one superseded, on chain, each by its own issuer",
        all(status.outcome == chain.CALL_OUTCOME_EXECUTED for status in statuses),
    )


async def ask_for_verdicts(stage: Stage) -> None:
    """The service's own verdict on every document, and on one that nobody registered."""
    rows = []
    outcomes: dict[str, str] = {}
    async with stage.session("auditor-sg").ledger() as ledger:
        for name, item in documents().items():
            answer = await ledger.verify(digest_of_file(item.file), item.relying)
            outcomes[name] = _outcome(answer.verdict.outcome)
            failed = [c.reason for c in answer.verdict.checks if c.result == chain.CHECK_RESULT_FAIL]
            rows.append((name, item.relying, outcomes[name], ", ".join(failed)))
        stranger = await ledger.verify(digest_of_file(documents()[ORIGINAL].file.parent / "README.md"), "TH")
        outcomes["README.md"] = _outcome(stranger.verdict.outcome)
        rows.append(("README.md", "TH", outcomes["README.md"], ""))
    stage.narrator.table("Verdicts of the service", ("document", "for", "outcome", "reasons"), rows)
    good = [name for name in outcomes if name not in (REVOKED, ORIGINAL, "README.md")]
    stage.narrator.claim(
        "good documents pass (development only), the revoked one fails, an unknown one is not registered",
        all(outcomes[name] == "PASS_DEVELOPMENT_ONLY" for name in good)
        and outcomes[REVOKED] == "FAIL"
        and outcomes["README.md"] == "NOT_REGISTERED",
    )


def _outcome(outcome: chain.Outcome.ValueType) -> str:
    return chain.Outcome.Name(outcome).removeprefix("OUTCOME_")
