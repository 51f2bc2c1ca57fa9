"""`settlement`: one bank's payments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from silkledger.cli.context import DEFAULT_DATA, AsOption, DataOption, JsonOption, Session, run
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output, block_text, local_time

if TYPE_CHECKING:
    from silkledger.settlement.v1 import settlement_pb2 as pb

app = typer.Typer(help="Payments of the acting bank.", no_args_is_help=True)

Uetr = Annotated[str, typer.Argument(help="UETR of the payment, lower case.")]
RoleOption = Annotated[str, typer.Option("--leg", help="customer, cover, institution or return.")]
Hop = Annotated[int, typer.Option(help="Hop of the leg.")]

LEGS = {"customer": 1, "cover": 2, "institution": 3, "return": 4}


def leg_id(uetr: str, leg: str, hop: int) -> pb.LegId:
    from silkledger.cli.context import CommandFailed
    from silkledger.settlement.v1 import settlement_pb2

    if leg not in LEGS:
        raise CommandFailed(ExitCode.USAGE, f"--leg takes one of {', '.join(LEGS)}, not {leg!r}")
    return settlement_pb2.LegId(uetr=uetr, role=settlement_pb2.LegRole.ValueType(LEGS[leg]), hop=hop)


def state_of(payment: pb.Payment) -> str:
    from silkledger.settlement.v1 import settlement_pb2

    return settlement_pb2.PaymentState.Name(payment.state).removeprefix("PAYMENT_STATE_")


def reconciliation_of(payment: pb.Payment) -> str:
    from silkledger.settlement.v1 import settlement_pb2

    name = settlement_pb2.ReconciliationState.Name(payment.reconciliation)
    return name.removeprefix("RECONCILIATION_STATE_")


def evidence_of(payment: pb.Payment) -> str:
    from silkledger.chain.v1 import chain_pb2

    return chain_pb2.EvidenceStage.Name(payment.evidence).removeprefix("EVIDENCE_STAGE_").lower()


def money_text(money: pb.Money) -> str:
    from silkledger.values import Money

    return str(Money(money.amount_minor, money.currency)) if money.currency else ""


def payment_json(payment: pb.Payment) -> dict[str, Any]:
    from silkledger.settlement.v1 import settlement_pb2

    return {
        "uetr": payment.leg.uetr,
        "leg": settlement_pb2.LegRole.Name(payment.leg.role).removeprefix("LEG_ROLE_").lower(),
        "hop": payment.leg.hop,
        "amountMinor": payment.amount.amount_minor,
        "currency": payment.amount.currency,
        "outgoing": payment.outgoing,
        "state": state_of(payment),
        "reconciliation": reconciliation_of(payment),
        "evidence": evidence_of(payment),
        "counterparty": payment.counterparty_did,
        "paymentId": "0x" + payment.payment_id.hex(),
        "commitment": "0x" + payment.commitment.hex(),
        "reasonCode": payment.reason_code,
        "history": [
            {
                "state": settlement_pb2.PaymentState.Name(change.state).removeprefix("PAYMENT_STATE_"),
                "at": change.at.ToJsonString(),
                "by": change.by,
                "block": change.block.number or None,
            }
            for change in payment.history
        ],
    }


def show_payments(output: Output, payments: list[pb.Payment]) -> None:
    rows = [
        (
            p.leg.uetr,
            "out" if p.outgoing else "in",
            money_text(p.amount),
            state_of(p),
            reconciliation_of(p),
            evidence_of(p),
        )
        for p in payments
    ]
    columns = ("UETR", "", "amount", "payment", "reconciliation", "evidence")
    output.result(
        {"payments": [payment_json(p) for p in payments]}, lambda: output.table("Payments", columns, rows)
    )


def _show_history(output: Output, payment: pb.Payment) -> None:
    from silkledger.settlement.v1 import settlement_pb2

    rows = [
        (
            settlement_pb2.PaymentState.Name(change.state).removeprefix("PAYMENT_STATE_"),
            local_time(change.at.seconds),
            change.by,
            block_text(change.block.number, change.block.time.seconds) if change.block.number else "",
        )
        for change in payment.history
    ]
    output.table("History", ("state", "at", "by", "block"), rows)


@app.command("submit")
def submit(
    file: Annotated[Path, typer.Argument(help="pacs.008 or pacs.009, XML.")],
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Submit a payment message of which the acting bank is the instructing agent."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        async with session.settlement() as settlement:
            payments = await settlement.submit(file.read_bytes())
        show_payments(output, payments)
        return ExitCode.OK

    run(output, work())


@app.command("accept")
def accept(
    uetr: Uetr,
    leg: RoleOption = "customer",
    hop: Hop = 0,
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Accept a payment that was delivered to the acting bank."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        async with session.settlement() as settlement:
            show_payments(output, [await settlement.accept(leg_id(uetr, leg, hop))])
        return ExitCode.OK

    run(output, work())


@app.command("reject")
def reject(
    uetr: Uetr,
    reason: Annotated[str, typer.Option(help="ISO external status reason code, e.g. AC01.")],
    leg: RoleOption = "customer",
    hop: Hop = 0,
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Reject a payment that was delivered to the acting bank."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        async with session.settlement() as settlement:
            show_payments(output, [await settlement.reject(leg_id(uetr, leg, hop), reason)])
        return ExitCode.OK

    run(output, work())


@app.command("settle")
def settle(
    uetr: Uetr,
    leg: RoleOption = "customer",
    hop: Hop = 0,
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Report that the acting bank saw the money move. Information, not finality: see `confirm`."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        async with session.settlement() as settlement:
            show_payments(output, [await settlement.report_settled(leg_id(uetr, leg, hop))])
        return ExitCode.OK

    run(output, work())


@app.command("sign-confirmation")
def sign_confirmation(
    file: Annotated[Path, typer.Argument(help="pacs.002 of the acting settlement institution.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the signed statement.")],
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Settlement institution: sign a pacs.002, for the banks to present."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        out.write_bytes(sign_message(session, file.read_bytes()))
        output.result({"file": str(out)}, lambda: output.say(f"signed: {out}"))
        return ExitCode.OK

    run(output, work())


def sign_message(session: Session, message: bytes) -> bytes:
    """A signed statement of the acting organisation over an ISO 20022 message."""
    import hashlib

    from silkledger.client.signing import sign_document
    from silkledger.values import Digest, DocumentType

    organisation = session.organisation
    return sign_document(
        organisation.account(),
        organisation.did,
        digest=Digest(hashlib.sha256(message).digest()),
        subject="urn:iso:std:iso:20022:pacs.002",
        document_type=DocumentType("PACS002"),
        content_type="application/xml",
    )


@app.command("confirm")
def confirm(
    file: Annotated[Path, typer.Argument(help="pacs.002 of the settlement institution.")],
    signed: Annotated[Path, typer.Option(help="The institution's signed statement over it.")],
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Present the settlement institution's confirmation: the only thing that makes a payment SETTLED."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        async with session.settlement() as settlement:
            show_payments(output, await settlement.confirm(file.read_bytes(), signed.read_bytes()))
        return ExitCode.OK

    run(output, work())


@app.command("show")
def show(
    uetr: Annotated[str, typer.Argument(help="UETR; none lists all.")] = "",
    leg: RoleOption = "customer",
    hop: Hop = 0,
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show a payment with its history, or list all of the acting bank's payments."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        async with session.settlement() as settlement:
            if uetr:
                payments = [await settlement.payment(leg_id(uetr, leg, hop))]
            else:
                payments = [payment async for payment in settlement.list_payments()]
        show_payments(output, payments)
        if uetr and not as_json:
            _show_history(output, payments[0])
        return ExitCode.OK

    run(output, work())
