"""Organisations of three countries enrol; authorities accredit issuers and recognise each other."""

from __future__ import annotations

import asyncio

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.cli.demo.cast import (
    AGENCIES,
    AUDITOR,
    AUTHORITIES,
    BANKS,
    INSTITUTION,
    ISSUES,
    PARTNERS,
    Stage,
)
from silkledger.cli.enrolling import Newcomer, enrol_organisation
from silkledger.client.identity import Act, wait_for_call
from silkledger.client.organisation import Organisation
from silkledger.values import CountryCode, DocumentType


async def enrol_everybody(stage: Stage) -> None:
    """Banks last: each of them makes the stack start a settlement service."""
    session = stage.session("")
    first = (*AUTHORITIES, *AGENCIES, AUDITOR, INSTITUTION)
    await asyncio.gather(*(enrol_organisation(session, newcomer) for newcomer in first))
    for bank in BANKS:
        await enrol_organisation(session, bank)
    everybody = (*first, *BANKS)
    rows = [(n.name, n.country, ", ".join(n.roles), str(_organisation(stage, n).did)) for n in everybody]
    stage.narrator.table("Enrolled", ("organisation", "country", "role", "DID"), rows)
    private = all(_organisation(stage, n).controller_file.stat().st_mode & 0o077 == 0 for n in everybody)
    stage.narrator.claim(
        f"{len(everybody)} organisations of three countries enrolled; each made its keys itself", private
    )


def _organisation(stage: Stage, newcomer: Newcomer) -> Organisation:
    return Organisation.load(stage.session("").directory.organisation(newcomer.alias))


async def accredit_and_recognise(stage: Stage) -> None:
    """Countries first; then all accreditations and recognitions at once."""
    outcomes = await asyncio.gather(
        _register_countries(stage), *(_publish(stage, newcomer) for newcomer in (*AGENCIES, *BANKS))
    )
    block = await final_block(stage)
    outcomes += await asyncio.gather(
        *(_by_authority(stage, authority.alias, authority.country, block) for authority in AUTHORITIES)
    )
    executed = [outcome for group in outcomes for outcome in group]
    stage.narrator.claim(
        "authorities accredited two issuers and recognised each other, by calls they signed themselves",
        bool(executed) and all(status.outcome == chain.CALL_OUTCOME_EXECUTED for status in executed),
        f"{len(executed)} calls final",
    )
    await _ask(stage)


async def final_block(stage: Stage) -> int:
    async with stage.session("auditor-sg").ledger() as ledger:
        return int((await ledger.network()).final.number)


async def _register_countries(stage: Stage) -> list[chain.CallStatus]:
    session = stage.session("")
    signer = session.governance_signer()
    calls = [
        signer.register_country(CountryCode(authority.country), _organisation(stage, authority).did)
        for authority in AUTHORITIES
    ]
    async with session.ledger(operator=True) as ledger:
        await asyncio.gather(*(ledger.relay(call) for call in calls))
        return list(await asyncio.gather(*(wait_for_call(ledger, call) for call in calls)))


async def _publish(stage: Stage, newcomer: Newcomer) -> list[chain.CallStatus]:
    """Everybody who will be asked for puts an endpoint into its own DID document."""
    session = stage.session(newcomer.alias)
    organisation = session.organisation
    endpoint = organisation.profile.settlement_endpoint
    kind, url = ("SettlementService", endpoint) if endpoint else ("DocumentDesk", "https://desk.example")
    call = session.call_signer().publish_service(kind, url)
    async with session.identity() as identity:
        await identity.relay(Act.PUBLISH, call)
        return [await identity.wait_for_call(call)]


async def _by_authority(stage: Stage, alias: str, country: str, block: int) -> list[chain.CallStatus]:
    session = stage.session(alias)
    signer = session.call_signer()
    acts = [
        (
            Act.ACCREDIT,
            signer.accredit(
                _organisation(stage, agency).did,
                CountryCode(country),
                DocumentType(document_type),
                level=2,
                from_block=block,
            ),
        )
        for agency in AGENCIES
        if agency.country == country
        for document_type in ISSUES[agency.alias]
    ]
    acts += [
        (
            Act.RECOGNISE,
            signer.recognise(
                CountryCode(relying), CountryCode(issuing), DocumentType(kind), min_level=1, from_block=block
            ),
        )
        for relying, issuing in PARTNERS
        if relying == country
        for agency in AGENCIES
        if agency.country == issuing
        for kind in ISSUES[agency.alias]
    ]
    async with session.identity() as identity:
        await asyncio.gather(*(identity.relay(act, call) for act, call in acts))
        return list(await asyncio.gather(*(identity.wait_for_call(call) for _, call in acts)))


async def _ask(stage: Stage) -> None:
    did = str(_organisation(stage, AGENCIES[0]).did)
    async with stage.session("auditor-sg").identity() as identity:
        trusted = await identity.check_authorisation(did, "705", "TH")
        stranger = await identity.check_authorisation(did, "705", "SG")
        wrong = await identity.check_authorisation(did, "465", "TH")
    rows = [
        ("TH, bill of lading (705)", _word(trusted.authorised), trusted.explanation),
        ("SG, bill of lading (705)", _word(stranger.authorised), stranger.explanation),
        ("TH, letter of credit (465)", _word(wrong.authorised), wrong.explanation),
    ]
    stage.narrator.table("May the Sample Customs Agency issue it, for …", ("", "", "why"), rows)
    stage.narrator.claim(
        '"may this issuer do that, for this country, and why" has an explained answer',
        trusted.authorised and not stranger.authorised and not wrong.authorised,
        f"refused with {stranger.reason} and {wrong.reason}",
    )


def _word(authorised: bool) -> str:
    return "yes" if authorised else "no"
