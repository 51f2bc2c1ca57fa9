"""Which documents go into a manifest: files, the files of folders, or the rows of a CSV list."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from silkledger.cli.context import CommandFailed
from silkledger.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from silkledger.client.manifests import ManifestDocument

COLUMNS: Final = {"file", "digest", "name", "subject"}
"""Of a list: `file` (relative to the list) or `digest` (SHA-256, hexadecimal); the others may be left out."""


def documents_of(paths: list[Path], listing: Path | None) -> list[ManifestDocument]:
    """In the order given; a folder's files by name, without those of its own folders.

    Raises:
        CommandFailed: USAGE.
    """
    found = [_of_file(file, file.name, "") for path in paths for file in _files(path)]
    if listing is not None:
        found += _rows(listing)
    if not found:
        raise _usage("no document: give files, folders, or --list")
    return found


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))


def default_subject(name: str) -> str:
    return f"urn:silkledger:file:{name}"


def _of_file(path: Path, name: str, subject: str) -> ManifestDocument:
    from silkledger.client.manifests import ManifestDocument
    from silkledger.client.signing import digest_of_file

    return ManifestDocument(name, subject or default_subject(name), digest_of_file(path))


def _rows(listing: Path) -> Iterator[ManifestDocument]:
    with listing.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        columns = set(rows.fieldnames or ())
        if not columns <= COLUMNS or not columns & {"file", "digest"}:
            raise _usage(f"{listing}: columns are file or digest, name and subject, not {sorted(columns)}")
        try:
            for row in rows:
                yield _row(listing, rows.line_num, row)
        except csv.Error as error:
            raise _usage(f"{listing}, line {rows.line_num}: {error}") from error


def _row(listing: Path, line: int, row: dict[str, str | None]) -> ManifestDocument:
    from silkledger.client.manifests import ManifestDocument
    from silkledger.values import Digest, ValueShapeError

    cells = {column: (row.get(column) or "").strip() for column in COLUMNS}
    if None in row or bool(cells["file"]) == bool(cells["digest"]):
        raise _usage(f"{listing}, line {line}: give a file or a digest, and no more cells than columns")
    if cells["file"]:
        return _of_file(
            listing.parent / cells["file"], cells["name"] or Path(cells["file"]).name, cells["subject"]
        )
    try:
        digest = Digest.from_hex(cells["digest"])
    except ValueShapeError as error:
        raise _usage(f"{listing}, line {line}: digest: {error}") from error
    name = cells["name"] or str(digest)
    return ManifestDocument(name, cells["subject"] or default_subject(name), digest)


def _usage(message: str) -> CommandFailed:
    return CommandFailed(ExitCode.USAGE, message)
