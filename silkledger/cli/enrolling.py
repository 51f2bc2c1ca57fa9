"""Enrolling one organisation on an embedded stack: keys, certificate, and a bank's settlement service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from silkledger.cli.context import CommandFailed, Session
from silkledger.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from silkledger.identity.v1 import identity_pb2 as pb

ROLES = ("agency", "bank", "auditor", "authority", "settlement-institution")


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What the organisation says of itself."""

    alias: str
    name: str
    country: str
    roles: tuple[str, ...]
    lei: str = ""
    uscc: str = ""
    bic: str = ""
    accounts: tuple[str, ...] = ()
    settled_by: str = ""
    """Alias of the settlement institution; banks only."""


async def enrol_organisation(session: Session, newcomer: Newcomer) -> pb.Organisation:
    """Raises: `CommandFailed`, `RpcFailed`."""
    from silkledger.client.enrolment import enrol, prepare
    from silkledger.client.organisation import Organisation, Profile
    from silkledger.stack.ports import Ports

    _check(newcomer)
    folder = session.directory.organisation(newcomer.alias)
    institution = ""
    endpoint = ""
    if "bank" in newcomer.roles:
        settled_by = Organisation.load(session.directory.organisation(newcomer.settled_by))
        institution = settled_by.profile.did
        # Kept under the bank's name: its endpoint is published, so it must not move.
        endpoint = Ports(session.directory).address(f"settlement-{newcomer.alias}")
    profile = Profile(
        did="",
        name=newcomer.name,
        country=newcomer.country,
        roles=newcomer.roles,
        lei=newcomer.lei,
        uscc=newcomer.uscc,
        bic=newcomer.bic,
        settlement_endpoint=endpoint,
    )
    organisation = prepare(folder, profile, session.network_file.chain_id)
    async with session.identity(operator=True) as identity:
        enrolled = await enrol(identity, organisation)
    if "bank" in newcomer.roles:
        await _start_settlement(session, newcomer, organisation, institution)
    return enrolled


def _check(newcomer: Newcomer) -> None:
    unknown = set(newcomer.roles) - set(ROLES)
    if unknown:
        raise CommandFailed(ExitCode.USAGE, f"no such role: {', '.join(sorted(unknown))}; one of {ROLES}")
    if not newcomer.alias.replace("-", "").isalnum() or newcomer.alias != newcomer.alias.lower():
        raise CommandFailed(ExitCode.USAGE, "an alias is lower-case letters, digits and dashes")
    if "bank" in newcomer.roles and not newcomer.settled_by:
        raise CommandFailed(ExitCode.USAGE, "a bank needs --settled-by, its settlement institution's alias")
    if "bank" in newcomer.roles and not newcomer.accounts:
        raise CommandFailed(ExitCode.USAGE, "a bank needs --account, its account at the institution")


async def _start_settlement(
    session: Session, newcomer: Newcomer, organisation: object, institution: str
) -> None:
    """Publishes the service's endpoint under the bank's DID, and leaves the marker that starts it."""
    from silkledger.client.organisation import Organisation
    from silkledger.stack.environment import BankMarker

    assert isinstance(organisation, Organisation)
    marker = BankMarker(
        did=organisation.profile.did,
        bic=newcomer.bic,
        listen=organisation.profile.settlement_endpoint,
        settlement_institution=institution,
        accounts=",".join(newcomer.accounts),
    )
    marker.write(organisation.folder)
