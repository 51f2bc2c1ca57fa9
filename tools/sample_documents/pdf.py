"""One-page certificates by reportlab in invariant mode: no time, no random id, so the bytes never change."""

from __future__ import annotations

import io
from collections.abc import Sequence

from reportlab.lib.pagesizes import A4  # type: ignore[import-untyped]
from reportlab.lib.units import mm  # type: ignore[import-untyped]
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]

Row = tuple[str, str]
"""A box of the form: its caption and what stands in it (lines separated by newlines)."""


def certificate(title: str, number: str, rows: Sequence[Row], declaration: str) -> bytes:
    """A4, black, built-in fonts only, marked SAMPLE across the page."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1, pageCompression=0)
    canvas.setTitle(f"{title} {number} (sample)")
    canvas.setAuthor("Silkledger samples")
    _watermark(canvas)
    width, height = A4
    canvas.setFont("Helvetica-Bold", 17)
    canvas.drawString(20 * mm, height - 25 * mm, title.upper())
    canvas.setFont("Helvetica", 10)
    canvas.drawRightString(width - 20 * mm, height - 25 * mm, f"No. {number}")
    top = height - 35 * mm
    for caption, content in rows:
        top = _box(canvas, top, caption, content)
    canvas.setFont("Helvetica-Oblique", 9)
    canvas.drawString(20 * mm, top - 10 * mm, declaration)
    canvas.drawString(20 * mm, 15 * mm, "SAMPLE made for the Silkledger project. Not a legal document.")
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _watermark(canvas: Canvas) -> None:
    canvas.saveState()
    canvas.translate(105 * mm, 150 * mm)
    canvas.rotate(45)
    canvas.setFillGray(0.9)
    canvas.setFont("Helvetica-Bold", 90)
    canvas.drawCentredString(0, 0, "SAMPLE")
    canvas.restoreState()


def _box(canvas: Canvas, top: float, caption: str, content: str) -> float:
    lines = content.split("\n")
    bottom: float = top - (8 + 5 * len(lines)) * mm
    canvas.rect(20 * mm, bottom, 170 * mm, top - bottom)
    canvas.setFont("Helvetica", 7)
    canvas.drawString(22 * mm, top - 4 * mm, caption)
    canvas.setFont("Helvetica", 10)
    for index, line in enumerate(lines):
        canvas.drawString(22 * mm, top - (9 + 5 * index) * mm, line)
    return bottom
