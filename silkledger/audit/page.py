"""The report as one HTML page that needs nothing else: findings, totals, volumes and the log over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from silkledger.audit.report import Anchoring, Report, Span
from silkledger.evidence.verdict import Assurance

BARS: Final = 48
"""Spans that the timeline shows at most."""

ASSURANCES: Final = {
    Assurance.SEALED_BY_QUORUM: "sealed by a quorum of the validators (SEALED_BY_QUORUM)",
    Assurance.ENGINE_WITHOUT_SEALS: "engine without seals (ENGINE_WITHOUT_SEALS): development only",
    Assurance.UNSPECIFIED: "commit seals not checked (UNSPECIFIED)",
}

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d5dae0}
th,td{overflow-wrap:anywhere;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.9em;overflow-wrap:anywhere}
.CLEAN{color:#0a6b2b}.DIFFERENT{color:#b00020}.INCOMPLETE{color:#8a5a00}
.bar,.vol{background:#2f6f9f;height:.8rem;min-width:1px}
"""


def page(report: Report) -> str:
    """The same report gives the same page. Everything in it is text: nothing of the data becomes markup."""
    last = report.last
    facts = [
        ("chain", f"{report.chain_id}, genesis {report.genesis_hash}"),
        ("assurance", ASSURANCES[report.assurance]),
        ("last final block", f"{last.number} ({_time(last.time)}), {last.hash}"),
        ("replayed", f"{report.events} events, {report.entries} log entries, {report.anchors} anchors"),
        ("report digest", report.digest),
    ]
    parts = [
        f'<h1>Audit replay: <span class="{report.verdict}">{report.verdict}</span></h1>',
        _table((), facts),
        "<h2>Findings</h2>",
        _differences(report),
        _list("Could not be had", report.unavailable),
        "<h2>Control totals</h2>",
        _table(
            ("database", "projection", "chain and log say", "found", "differences", "up to block"),
            [
                (t.database, t.table, t.rows, t.found, t.differences, t.upto_block)
                for t in sorted(report.totals)
            ],
        ),
        "<h2>Volumes</h2>",
        _table(("event", "events"), [(volume.kind, volume.events) for volume in report.volumes]),
        _spans(report.spans),
        "<h2>Timeline of the log</h2>",
        _timeline(report.timeline),
        "<h2>State digests</h2>",
        "<p>Another auditor of the same blocks has the same; the first that differs says where to look.</p>",
        _table(("blocks", "digest"), [(f"{d.first} to {d.last}", d.digest) for d in report.digests]),
        _list("Assumptions", report.assumptions),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Audit replay, chain {report.chain_id}, block {last.number}</title>"
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _differences(report: Report) -> str:
    if not report.differences:
        return "<p>No field of any compared row differs from what chain and log say.</p>"
    return _table(
        ("database", "table", "key", "field", "chain and log say", "the database says"),
        [(d.database, d.table, d.key, d.field, d.replayed, d.found) for d in sorted(report.differences)],
    )


def _spans(spans: Sequence[Span]) -> str:
    """Events over the blocks; each bar says what they were."""
    counted = [(span, sum(volume.events for volume in span.volumes)) for span in spans]
    largest = max((events for _, events in counted), default=0)
    if not largest:
        return "<p>No event of these contracts.</p>"
    rows = []
    for span, events in counted:
        kinds = escape(", ".join(f"{volume.kind} {volume.events}" for volume in span.volumes))
        bar = f'<div class="vol" style="width:{100 * events / largest:.1f}%" title="{kinds}"></div>'
        rows.append(
            f"<tr><td>{_time(span.time)}</td><td>{span.first} to {span.last}</td>"
            f'<td class="n">{events}</td><td style="width:50%">{bar}</td></tr>'
        )
    return f"<table><tr><th>from</th><th>blocks</th><th>events</th><th></th></tr>{''.join(rows)}</table>"


def _timeline(anchorings: Sequence[Anchoring]) -> str:
    if not anchorings:
        return "<p>Nothing is anchored.</p>"
    step = -(-len(anchorings) // BARS)
    spans = [anchorings[first : first + step] for first in range(0, len(anchorings), step)]
    largest = max(sum(item.entries for item in span) for span in spans) or 1
    rows = []
    for span in spans:
        entries = sum(item.entries for item in span)
        bar = f'<div class="bar" style="width:{100 * entries / largest:.1f}%"></div>'
        begin, end = span[0], span[-1]
        rows.append(
            f"<tr><td>{_time(begin.time)}</td><td>{begin.block} to {end.block}</td>"
            f'<td class="n">{entries}</td><td style="width:50%">{bar}</td></tr>'
        )
    return f"<table><tr><th>from</th><th>blocks</th><th>entries</th><th></th></tr>{''.join(rows)}</table>"


def _list(title: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    return f"<h2>{title}</h2><ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = f"<tr>{''.join(f'<th>{column}</th>' for column in columns)}</tr>" if columns else ""
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    return f"<table>{head}{body}</table>"


def _cell(value: object) -> str:
    kind = ' class="n"' if isinstance(value, int) else ""
    return f"<td{kind}>{escape(str(value))}</td>"


def _time(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
