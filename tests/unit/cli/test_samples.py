"""The samples are what their generator writes, and what they say they are."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest
from lxml import etree

_ROOT = Path(__file__).resolve().parents[3]
_SAMPLES = _ROOT / "samples"
_CAC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2}"
_CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sample_generator", _ROOT / "tools" / "samples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sample_generator"] = module
    spec.loader.exec_module(module)
    return module


def test_committed_bytes_are_the_generators(generator: ModuleType) -> None:
    for name, data in generator.files().items():
        assert (_SAMPLES / name).read_bytes() == data, name


def test_manifest_digests_and_distinct_documents() -> None:
    documents = json.loads((_SAMPLES / "manifest.json").read_text("utf-8"))["documents"]
    for document in documents:
        data = (_SAMPLES / document["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == document["sha256"]
        assert b"SAMPLE" in data.upper()
    assert {document["documentType"] for document in documents} == {"705", "380", "861", "465", "AC"}


def test_invoice_adds_up() -> None:
    invoice = etree.parse(str(_SAMPLES / "invoice.xml")).getroot()
    lines = [
        Decimal(item.text or "") for item in invoice.iterfind(f"{_CAC}InvoiceLine/{_CBC}LineExtensionAmount")
    ]
    total = invoice.find(f"{_CAC}LegalMonetaryTotal/{_CBC}PayableAmount")
    assert total is not None
    assert sum(lines) == Decimal(total.text or "") == Decimal("1250000.00")


def test_letter_of_credit_has_its_fields_in_order() -> None:
    text = (_SAMPLES / "letter-of-credit.txt").read_bytes().decode("ascii")
    assert "\n" not in text.replace("\r\n", "")
    tags = re.findall(r"^:(\d\d[A-Z]?):", text, re.MULTILINE)
    order = "27 40A 20 31C 31D 50 59 32B 41A 42C 43P 43T 44E 44F 44C 45A 46A 47A 71D 48 49 78"
    wanted = re.findall(r"\S+", order)
    assert [tag for tag in tags if tag in wanted] == wanted
    assert all(len(line) <= 65 for line in text.split("\r\n"))


def test_bills_of_lading_are_two_documents_about_one_subject() -> None:
    documents = json.loads((_SAMPLES / "manifest.json").read_text("utf-8"))["documents"]
    bills = [document for document in documents if document["documentType"] == "705"]
    assert len({bill["subject"] for bill in bills}) == 1
    assert len({bill["sha256"] for bill in bills}) == 2
