"""`org` and `authority`: who is who, who may issue what, recognised by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

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
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output, block_text, local_time

if TYPE_CHECKING:
    from silkledger.chain.v1 import chain_pb2 as chain
    from silkledger.client.identity import Act
    from silkledger.identity.v1 import identity_pb2 as pb

organisations = typer.Typer(help="Organisations: enrol, publish, show.", no_args_is_help=True)
authorities = typer.Typer(
    help="Acts of authorities: countries, accreditation, recognition.", no_args_is_help=True
)

Country = Annotated[str, typer.Option(help="ISO 3166-1 alpha-2, e.g. CN.")]
Type = Annotated[str, typer.Option("--type", help="UN/EDIFACT 1001 code, e.g. 705 (bill of lading).")]


@organisations.command("enrol")
def enrol(
    alias: Annotated[str, typer.Argument(help="Short local name; the keys go to orgs/<alias>.")],
    name: Annotated[str, typer.Option(help="Full name.")],
    country: Country,
    role: Annotated[
        list[str],
        typer.Option(help="agency, bank, auditor, authority or settlement-institution; may be repeated."),
    ],
    lei: Annotated[str, typer.Option(help="ISO 17442.")] = "",
    uscc: Annotated[str, typer.Option(help="GB 32100.")] = "",
    bic: Annotated[str, typer.Option(help="ISO 9362; banks need one.")] = "",
    account: Annotated[list[str] | None, typer.Option(help="Bank: an account that it reconciles.")] = None,
    settled_by: Annotated[
        str, typer.Option(help="Bank: alias of the settlement institution whose word settles.")
    ] = "",
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Make an organisation's keys here, and get its certificate. Private keys never leave orgs/<alias>.

    A bank gets its own settlement service, which a running `silkledger up` starts at once, and whose endpoint
    is put into its DID document: that is how other banks find it.
    """
    from silkledger.cli.enrolling import Newcomer, enrol_organisation

    output = Output(as_json)
    session = Session(data, "", output)
    newcomer = Newcomer(alias, name, country, tuple(role), lei, uscc, bic, tuple(account or ()), settled_by)

    async def work() -> ExitCode:
        enrolled = await enrol_organisation(session, newcomer)
        if "bank" in newcomer.roles:
            await _publish_settlement(Session(data, alias, output))
        _show_organisation(output, enrolled, alias)
        return ExitCode.OK

    run(output, work())


async def _publish_settlement(session: Session) -> None:
    """Raises: `CommandFailed`, `RpcFailed`: then the bank is enrolled, and `org publish` does the rest."""
    from silkledger.chain.v1 import chain_pb2
    from silkledger.client.identity import Act

    endpoint = session.organisation.profile.settlement_endpoint
    call = session.call_signer().publish_service("SettlementService", endpoint)
    async with session.identity() as identity:
        await identity.relay(Act.PUBLISH, call)
        status = await identity.wait_for_call(call)
    if status.outcome != chain_pb2.CALL_OUTCOME_EXECUTED:
        why = f"enrolled, but not published: {status.reason_text}; org publish SettlementService {endpoint}"
        raise CommandFailed(ExitCode.REFUSED, why)


@organisations.command("publish")
def publish(
    kind: Annotated[str, typer.Argument(help="Service type in the DID document, e.g. SettlementService.")],
    endpoint: Annotated[str, typer.Argument(help="Where it is.")],
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Put a service endpoint into the acting organisation's own DID document, by a call signed here."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        from silkledger.client.identity import Act

        call = session.call_signer().publish_service(kind, endpoint)
        return await relay(session, Act.PUBLISH, call, f"service {kind}: {endpoint}")

    run(output, work())


@organisations.command("show")
def show(
    who: Annotated[str, typer.Argument(help="Alias or DID; none lists all.")] = "",
    as_of: Annotated[int | None, typer.Option(help="DID document as of this block.")] = None,
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show an organisation with its DID document, or list all."""
    output = Output(as_json)
    session = Session(data, alias, output)
    run(output, _show(session, who, as_of) if who else _list(session))


async def _show(session: Session, who: str, as_of: int | None) -> ExitCode:
    did = who if who.startswith("did:") else _did_of(session, who)
    async with session.identity(operator=not session.alias) as identity:
        organisation = await identity.organisation(did)
        resolved = await identity.resolve(did, as_of_block=as_of)
    _show_organisation(session.output, organisation, "", resolved)
    return ExitCode.OK


async def _list(session: Session) -> ExitCode:
    async with session.identity(operator=not session.alias) as identity:
        found = [item async for item in identity.list_organisations()]
    rows = [(o.name, o.country, ", ".join(_roles(o)), o.did) for o in found]
    session.output.result(
        {"organisations": [_organisation_json(o) for o in found]},
        lambda: session.output.table("Organisations", ("name", "country", "roles", "DID"), rows),
    )
    return ExitCode.OK


def _did_of(session: Session, alias: str) -> str:
    from silkledger.client.organisation import Organisation

    return Organisation.load(session.directory.organisation(alias)).profile.did


def _roles(organisation: pb.Organisation) -> list[str]:
    from silkledger.identity.v1 import identity_pb2

    names = [identity_pb2.Role.Name(role) for role in organisation.roles]
    return [name.removeprefix("ROLE_").lower().replace("_", "-") for name in names]


def _organisation_json(organisation: pb.Organisation) -> dict[str, Any]:
    return {
        "did": organisation.did,
        "name": organisation.name,
        "country": organisation.country,
        "roles": _roles(organisation),
        "lei": organisation.lei,
        "uscc": organisation.uscc,
        "bic": organisation.bic,
        "endpoint": organisation.endpoint,
        "enrolledAt": organisation.enrolled_at.seconds,
    }


def _show_organisation(
    output: Output, organisation: pb.Organisation, alias: str, resolved: pb.ResolveDidResponse | None = None
) -> None:
    import json

    data = _organisation_json(organisation)
    document = json.loads(resolved.did_document_json) if resolved else None
    if document is not None:
        data["didDocument"] = document
    pairs = [
        ("alias", alias),
        ("name", organisation.name),
        ("DID", organisation.did),
        ("country", organisation.country),
        ("roles", ", ".join(_roles(organisation))),
        ("LEI", organisation.lei),
        ("USCC", organisation.uscc),
        ("BIC", organisation.bic),
        ("settlement service", organisation.endpoint),
        ("enrolled", local_time(organisation.enrolled_at.seconds)),
        ("as of block", block_text(resolved.as_of.number, resolved.as_of.time.seconds) if resolved else ""),
        ("DID document", json.dumps(document, indent=1) if document else ""),
    ]
    output.result(data, lambda: output.facts("", pairs))


@authorities.command("add-country")
def add_country(
    country: Annotated[str, typer.Argument(help="ISO 3166-1 alpha-2.")],
    authority: Annotated[str, typer.Option(help="Alias or DID of its root authority.")],
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Governance: register a country and its root authority (the embedded stack keeps governance's key)."""
    output = Output(as_json)
    session = Session(data, "", output)

    async def work() -> ExitCode:
        from silkledger.client.identity import wait_for_call
        from silkledger.values import CountryCode, Did

        did = authority if authority.startswith("did:") else _did_of(session, authority)
        call = session.governance_signer().register_country(CountryCode(country), Did(did))
        async with session.ledger(operator=True) as ledger:
            await ledger.relay(call)
            status = await wait_for_call(ledger, call)
        return show_call(output, status, f"country {country}: authority {did}")

    run(output, work())


@authorities.command("accredit")
def accredit(
    issuer: Annotated[str, typer.Argument(help="Alias or DID of the issuer.")],
    country: Country,
    document_type: Type,
    level: Annotated[int, typer.Option(min=1, max=3, help="1 low, 2 substantial, 3 high.")] = 2,
    from_block: Annotated[int, typer.Option(help="First block in force; 0: the present final block.")] = 0,
    until_block: Annotated[int, typer.Option(help="First block no longer in force; 0: open.")] = 0,
    parent: Annotated[str, typer.Option(help="Accreditation id under which this one is given.")] = "",
    may_subaccredit: Annotated[bool, typer.Option(help="Whether the issuer may accredit others.")] = False,
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Accredit an issuer for a document type."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        from silkledger.client.identity import Act
        from silkledger.values import CountryCode, Did, DocumentType

        did = Did(issuer if issuer.startswith("did:") else _did_of(session, issuer))
        call = session.call_signer().accredit(
            did,
            CountryCode(country),
            DocumentType(document_type),
            level=level,
            from_block=from_block or await _final_block(session),
            until_block=until_block,
            parent=bytes.fromhex(parent.removeprefix("0x")) if parent else bytes(32),
            may_subaccredit=may_subaccredit,
        )
        return await relay(session, Act.ACCREDIT, call, f"{did} accredited for {document_type}")

    run(output, work())


@authorities.command("recognise")
def recognise(
    issuing: Annotated[str, typer.Argument(help="Country whose documents are recognised.")],
    relying: Annotated[str, typer.Option(help="The acting authority's own country.")],
    document_type: Type,
    min_level: Annotated[int, typer.Option(min=1, max=3)] = 1,
    from_block: Annotated[int, typer.Option(help="First block in force; 0: the present final block.")] = 0,
    until_block: Annotated[int, typer.Option(help="First block no longer in force; 0: open.")] = 0,
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Recognise another country's documents of a type."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        from silkledger.client.identity import Act
        from silkledger.values import CountryCode, DocumentType

        call = session.call_signer().recognise(
            CountryCode(relying),
            CountryCode(issuing),
            DocumentType(document_type),
            min_level=min_level,
            from_block=from_block or await _final_block(session),
            until_block=until_block,
        )
        return await relay(session, Act.RECOGNISE, call, f"{relying} recognises {issuing}: {document_type}")

    run(output, work())


@authorities.command("check")
def check(
    issuer: Annotated[str, typer.Argument(help="Alias or DID of the issuer.")],
    document_type: Type,
    relying: Annotated[str, typer.Option(help="Country that relies on the document.")],
    as_of: Annotated[int | None, typer.Option(help="In force at this block.")] = None,
    known_at: Annotated[int | None, typer.Option(help="Known at this block.")] = None,
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Ask whether an issuer is authorised, and why. Exit 1 when it is not."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        did = issuer if issuer.startswith("did:") else _did_of(session, issuer)
        async with session.identity(operator=not session.alias) as identity:
            answer = await identity.check_authorisation(
                did, document_type, relying, as_of_block=as_of, known_at_block=known_at
            )
        _show_authorisation(output, answer)
        return ExitCode.OK if answer.authorised else ExitCode.FAILED

    run(output, work())


def _show_authorisation(output: Output, answer: pb.CheckAuthorisationResponse) -> None:
    data = {
        "authorised": answer.authorised,
        "reason": answer.reason,
        "explanation": answer.explanation,
        "asOf": answer.as_of.number,
        "steps": [{"statement": s.statement, "holds": s.holds} for s in answer.steps],
    }

    def show() -> None:
        block = block_text(answer.as_of.number, answer.as_of.time.seconds)
        output.say(f"{answer.explanation} (as of block {block})")
        rows = [
            (
                s.statement,
                "yes" if s.holds else "no",
                block_text(s.recorded_at.number, s.recorded_at.time.seconds),
            )
            for s in answer.steps
        ]
        output.table("", ("step", "holds", "recorded in block"), rows)

    output.result(data, show)


async def _final_block(session: Session) -> int:
    async with session.ledger() as ledger:
        network = await ledger.network()
    return int(network.final.number)


async def relay(session: Session, act: Act, call: chain.SignedCall, what: str) -> ExitCode:
    """Relays a signed call through the identity service and waits until its outcome is final."""
    async with session.identity() as identity:
        await identity.relay(act, call)
        status = await identity.wait_for_call(call)
    return show_call(session.output, status, what)


def show_call(output: Output, status: chain.CallStatus, what: str) -> ExitCode:
    from silkledger.chain.v1 import chain_pb2

    outcome = chain_pb2.CallOutcome.Name(status.outcome).removeprefix("CALL_OUTCOME_")
    data = {
        "what": what,
        "outcome": outcome,
        "reason": status.reason_text,
        "requestId": "0x" + status.request_id.hex(),
        "block": status.block.number,
        "transaction": "0x" + status.transaction_hash.hex(),
    }
    if outcome != "EXECUTED":
        raise CommandFailed(ExitCode.REFUSED, f"{what}: {outcome} {status.reason_text}".strip(), data)
    block = block_text(status.block.number, status.block.time.seconds)
    output.result(data, lambda: output.say(f"{what}: executed, final in block {block}"))
    return ExitCode.OK
