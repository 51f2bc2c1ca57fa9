"""A transport document with the field names of the DCSA Bill of Lading 3.0 API."""

from __future__ import annotations

import json
from typing import Any


def make() -> bytes:
    return _encode(_transport_document("18450.5"))


def make_corrected() -> bytes:
    """The carrier's correction: gross weight as found by the verified gross mass."""
    return _encode(_transport_document("18540.5"))


def _encode(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _party(name: str, street: str, city: str, country: str) -> dict[str, Any]:
    return {
        "partyName": name,
        "address": {"street": street, "city": city, "countryCode": country},
        "partyContactDetails": [{"name": "Sample Contact", "email": "contact@example.com"}],
    }


def _parties() -> dict[str, Any]:
    return {
        "shipper": _party("Sample Textile Exporter Co., Ltd.", "1 Sample Road", "Ningbo", "CN"),
        "consignee": _party("Sample Garment Importer Co., Ltd.", "2 Sample Street", "Bangkok", "TH"),
        "notifyParties": [_party("Sample Freight Agent Co., Ltd.", "3 Sample Street", "Laem Chabang", "TH")],
        "issuingParty": _party("Sample Ocean Carrier Ltd.", "4 Sample Quay", "Ningbo", "CN"),
    }


def _weight(value: str) -> dict[str, Any]:
    return {"value": float(value), "unit": "KGM"}


def _transport_document(gross_weight: str) -> dict[str, Any]:
    return {
        "transportDocumentReference": "SMPLU26110001",
        "shippingInstructionsReference": "SMPLSI26110001",
        "transportDocumentStatus": "ISSUED",
        "transportDocumentTypeCode": "BOL",
        "isShippedOnBoardType": True,
        "freightPaymentTermCode": "PRE",
        "isElectronic": True,
        "isToOrder": False,
        "numberOfCopiesWithCharges": 0,
        "numberOfCopiesWithoutCharges": 2,
        "issueDate": "2026-11-03",
        "shippedOnBoardDate": "2026-11-02",
        "termsAndConditions": "SAMPLE DOCUMENT. Not a contract of carriage.",
        "receiptTypeAtOrigin": "CY",
        "deliveryTypeAtDestination": "CY",
        "cargoMovementTypeAtOrigin": "FCL",
        "cargoMovementTypeAtDestination": "FCL",
        "carrierCode": "SMPL",
        "carrierCodeListProvider": "NMFTA",
        "placeOfIssue": {"locationName": "Ningbo", "UNLocationCode": "CNNBO", "countryCode": "CN"},
        "invoicePayableAt": {"UNLocationCode": "CNNBO"},
        "partyContactDetails": [{"name": "Sample Carrier Desk", "email": "bl@example.com"}],
        "documentParties": _parties(),
        "transports": {
            "plannedDepartureDate": "2026-11-02",
            "plannedArrivalDate": "2026-11-10",
            "portOfLoading": {"locationName": "Ningbo", "UNLocationCode": "CNNBO"},
            "portOfDischarge": {"locationName": "Laem Chabang", "UNLocationCode": "THLCH"},
            "vesselVoyages": [{"vesselName": "SAMPLE STAR", "carrierExportVoyageNumber": "2611S"}],
        },
        "utilizedTransportEquipments": [
            {
                "equipment": {"equipmentReference": "SMPU2611001", "ISOEquipmentCode": "42G1"},
                "isShipperOwned": False,
                "seals": [{"number": "SMPL900117", "source": "CAR"}],
            }
        ],
        "consignmentItems": [
            {
                "carrierBookingReference": "SMPLBKG26110001",
                "descriptionOfGoods": ["WOVEN COTTON FABRIC, 715 ROLLS (SAMPLE)"],
                "HSCodes": ["520811"],
                "cargoItems": [
                    {
                        "equipmentReference": "SMPU2611001",
                        "cargoGrossWeight": _weight(gross_weight),
                        "outerPackaging": {"numberOfPackages": 715, "packageCode": "RO"},
                    }
                ],
            }
        ],
    }
