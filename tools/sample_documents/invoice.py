"""A commercial invoice in UBL 2.1. Amounts are exact decimals; the totals add up."""

from __future__ import annotations

from decimal import Decimal
from xml.sax.saxutils import escape

LINES: tuple[tuple[str, Decimal, Decimal], ...] = (
    ("Woven cotton fabric, plain weave, unbleached", Decimal(600), Decimal("1700.00")),
    ("Woven cotton fabric, plain weave, dyed", Decimal(115), Decimal("2000.00")),
)
"""Item, quantity in rolls, price in CNY for each roll."""

NAMESPACES = (
    'xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2" '
    'xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2" '
    'xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"'
)


def make() -> bytes:
    total = sum((quantity * price for _, quantity, price in LINES), Decimal(0))
    lines = "".join(_line(index, *line) for index, line in enumerate(LINES, start=1))
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- SAMPLE made for the Silkledger project. All parties are made up. -->
<Invoice {NAMESPACES}>
  <cbc:UBLVersionID>2.1</cbc:UBLVersionID>
  <cbc:ID>SMPL-INV-2026-0117</cbc:ID>
  <cbc:IssueDate>2026-10-28</cbc:IssueDate>
  <cbc:DueDate>2026-12-15</cbc:DueDate>
  <cbc:InvoiceTypeCode listID="UN/ECE 1001">380</cbc:InvoiceTypeCode>
  <cbc:Note>Sample document</cbc:Note>
  <cbc:DocumentCurrencyCode listID="ISO 4217">CNY</cbc:DocumentCurrencyCode>
  <cac:OrderReference>
    <cbc:ID>SMPL-PO-2026-0031</cbc:ID>
  </cac:OrderReference>
  <cac:AdditionalDocumentReference>
    <cbc:ID>SMPLU26110001</cbc:ID>
    <cbc:DocumentTypeCode listID="UN/ECE 1001">705</cbc:DocumentTypeCode>
  </cac:AdditionalDocumentReference>
{_party("AccountingSupplierParty", "Sample Textile Exporter Co., Ltd.", "1 Sample Road", "Ningbo", "CN")}
{_party("AccountingCustomerParty", "Sample Garment Importer Co., Ltd.", "2 Sample Street", "Bangkok", "TH")}
  <cac:DeliveryTerms>
    <cbc:ID schemeID="INCOTERMS 2020">CFR</cbc:ID>
  </cac:DeliveryTerms>
  <cac:PaymentMeans>
    <cbc:PaymentMeansCode listID="UN/ECE 4461">30</cbc:PaymentMeansCode>
    <cbc:PaymentID>SMPL-INV-2026-0117</cbc:PaymentID>
  </cac:PaymentMeans>
  <cac:TaxTotal>
    <cbc:TaxAmount currencyID="CNY">0.00</cbc:TaxAmount>
  </cac:TaxTotal>
  <cac:LegalMonetaryTotal>
    <cbc:LineExtensionAmount currencyID="CNY">{total:.2f}</cbc:LineExtensionAmount>
    <cbc:TaxExclusiveAmount currencyID="CNY">{total:.2f}</cbc:TaxExclusiveAmount>
    <cbc:TaxInclusiveAmount currencyID="CNY">{total:.2f}</cbc:TaxInclusiveAmount>
    <cbc:PayableAmount currencyID="CNY">{total:.2f}</cbc:PayableAmount>
  </cac:LegalMonetaryTotal>
{lines}</Invoice>
""".encode()


def _party(role: str, name: str, street: str, city: str, country: str) -> str:
    return f"""  <cac:{role}>
    <cac:Party>
      <cac:PartyName>
        <cbc:Name>{escape(name)}</cbc:Name>
      </cac:PartyName>
      <cac:PostalAddress>
        <cbc:StreetName>{escape(street)}</cbc:StreetName>
        <cbc:CityName>{escape(city)}</cbc:CityName>
        <cac:Country>
          <cbc:IdentificationCode listID="ISO3166-1:Alpha2">{country}</cbc:IdentificationCode>
        </cac:Country>
      </cac:PostalAddress>
    </cac:Party>
  </cac:{role}>"""


def _line(number: int, item: str, quantity: Decimal, price: Decimal) -> str:
    return f"""  <cac:InvoiceLine>
    <cbc:ID>{number}</cbc:ID>
    <cbc:InvoicedQuantity unitCode="RO">{quantity}</cbc:InvoicedQuantity>
    <cbc:LineExtensionAmount currencyID="CNY">{quantity * price:.2f}</cbc:LineExtensionAmount>
    <cac:Item>
      <cbc:Name>{escape(item)}</cbc:Name>
      <cac:OriginCountry>
        <cbc:IdentificationCode listID="ISO3166-1:Alpha2">CN</cbc:IdentificationCode>
      </cac:OriginCountry>
    </cac:Item>
    <cac:Price>
      <cbc:PriceAmount currencyID="CNY">{price:.2f}</cbc:PriceAmount>
      <cbc:BaseQuantity unitCode="RO">1</cbc:BaseQuantity>
    </cac:Price>
  </cac:InvoiceLine>
"""
