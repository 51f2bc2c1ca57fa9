"""The report's web page: self-contained, and nothing of the data becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace

from silkledger.audit.digest import RangeDigest
from silkledger.audit.page import BARS, page
from silkledger.audit.report import Anchoring, Difference, Report, Span, Total, Volume
from silkledger.evidence.header import EngineKind
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Assurance
from silkledger.values import Address, BlockHash, BlockRef

HASH = BlockHash(bytes(32))
ROOTS = TrustRoots(7317, HASH, EngineKind.NO_SEALS, None, Address(bytes(20)), {}, {}, None, None)
REPORT = Report(
    chain_id=7317,
    genesis_hash=str(HASH),
    last=BlockRef(9, HASH, 1_700_000_000),
    digests=(RangeDigest(1, 9, "0x" + "ab" * 32),),
    volumes=(Volume("LogAnchor.Anchored", 2),),
    spans=(Span(1, 9, 1_700_000_000, (Volume("LogAnchor.Anchored", 2),)),),
    entries=4,
    anchors=2,
    totals=(Total("ledger", "anchor", 2, 2, 0, 9),),
    differences=(),
    unavailable=(),
    assurance=Assurance.SEALED_BY_QUORUM,
    assumptions=("assumed <so>",),
    timeline=(Anchoring(5, 1_700_000_000, 1, 1), Anchoring(8, 1_700_000_003, 4, 3)),
    trust_roots=ROOTS,
)


def test_the_page_shows_the_report_and_loads_nothing() -> None:
    shown = page(REPORT)
    assert "CLEAN" in shown and REPORT.digest in shown
    assert "ab" * 32 in shown and "LogAnchor.Anchored 2" in shown
    assert re.search(r"5 to 5.*>1<.*8 to 8.*>3<", shown, re.DOTALL)
    assert "default-src 'none'" in shown
    assert not re.search(r"<script|src=|href=|url\(", shown)
    assert page(REPORT) == shown


def test_differences_are_listed_as_text() -> None:
    forged = Difference(
        "ledger", "entry", "leaf_index=0", "subject", "urn:sample", "<script>alert(1)</script>"
    )
    shown = page(replace(REPORT, differences=(forged,), unavailable=("vault <x>",)))
    assert "DIFFERENT" in shown and "&lt;script&gt;alert(1)" in shown and "vault &lt;x&gt;" in shown
    assert "<script" not in shown and "No field of any compared row differs" not in shown


def test_a_long_timeline_is_summed_up() -> None:
    many = tuple(Anchoring(n, n, n, 1) for n in range(1, 10 * BARS))
    rows = page(replace(REPORT, timeline=many)).count('class="bar"')
    assert BARS // 2 < rows <= BARS


def test_the_digest_tells_any_change_of_the_report() -> None:
    assert replace(REPORT, volumes=(Volume("LogAnchor.Anchored", 3),)).digest != REPORT.digest
    assert replace(REPORT).digest == REPORT.digest
