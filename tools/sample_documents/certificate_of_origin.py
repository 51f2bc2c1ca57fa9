"""A certificate of origin with the boxes of the UN layout key form."""

from __future__ import annotations

from tools.sample_documents.pdf import certificate


def make() -> bytes:
    return certificate(
        "Certificate of origin",
        "SMPL-CO-2026-0042",
        (
            ("1. Exporter", "Sample Textile Exporter Co., Ltd.\n1 Sample Road, Ningbo, CN"),
            ("2. Consignee", "Sample Garment Importer Co., Ltd.\n2 Sample Street, Bangkok, TH"),
            (
                "3. Means of transport and route",
                "By sea, SAMPLE STAR 2611S\nNingbo (CNNBO) to Laem Chabang (THLCH)",
            ),
            ("4. Country of destination", "Thailand"),
            ("5. Marks and numbers; number and kind of packages", "SMPL 1-715, 715 rolls"),
            ("6. Description of goods; HS code", "Woven cotton fabric, HS 5208.11"),
            ("7. Quantity", "18 450.5 kg gross"),
            ("8. Invoice", "SMPL-INV-2026-0117 of 2026-10-28"),
            ("9. Country of origin", "China"),
            ("10. Certifying body", "Sample Customs Agency, Ningbo, 2026-11-03"),
        ),
        "It is certified, for this sample, that the goods described originate in the country shown in box 9.",
    )
