"""Reading XML that an adversary may have written.

Checks, in this order:

1. Size: at most `MAX_BYTES`.
2. Encoding: UTF-8, declared as such or not declared. Other encodings could hide (3).
3. No document type declaration, no entity declaration: refuses XML bombs and external entities before any
   parser sees them. An occurrence inside a comment or CDATA section is refused as well.
4. Well-formed, parsed without network, DTD or entity resolution, and without libxml2's `huge_tree`.
5. Depth: at most `MAX_DEPTH` elements.
"""

from __future__ import annotations

import re
from typing import Final

from lxml import etree

from services.settlement.iso20022.refusal import MessageRefused, Reason

MAX_BYTES: Final = 3 * 1024 * 1024
"""Largest message, bytes. The wire contract's limit on `message`."""

MAX_DEPTH: Final = 40
"""Deepest element. The deepest path of any supported schema is below 30."""

_FORBIDDEN: Final = re.compile(rb"<!\s*(DOCTYPE|ENTITY|ELEMENT|ATTLIST|NOTATION)", re.IGNORECASE)
_DECLARED: Final = re.compile(rb"\A(?:\xef\xbb\xbf)?<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")


def parse_xml(data: bytes) -> etree._Element:
    """The root element of a document. Steps as in the module's docstring.

    Raises:
        MessageRefused: TOO_LARGE, FORBIDDEN or NOT_WELL_FORMED.
    """
    if len(data) > MAX_BYTES:  # (1)
        raise MessageRefused(Reason.TOO_LARGE, "/", f"{len(data)} bytes, at most {MAX_BYTES}")
    declared = _DECLARED.match(data)  # (2)
    if declared and declared.group(1).upper() not in (b"UTF-8", b"UTF8"):
        raise MessageRefused(Reason.FORBIDDEN, "/", "the encoding must be UTF-8")
    try:
        data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise MessageRefused(Reason.NOT_WELL_FORMED, "/", f"not UTF-8 at byte {error.start}") from None
    if _FORBIDDEN.search(data):  # (3)
        raise MessageRefused(Reason.FORBIDDEN, "/", "document type and entity declarations are not allowed")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)  # (4)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        raise MessageRefused(Reason.NOT_WELL_FORMED, "/", f"line {line}, column {column}") from None
    _check_depth(root)  # (5)
    return root


def _check_depth(root: etree._Element) -> None:
    level: list[etree._Element] = [root]
    for _ in range(MAX_DEPTH):
        level = [child for element in level for child in element]
        if not level:
            return
    raise MessageRefused(Reason.FORBIDDEN, "/", f"elements nest deeper than {MAX_DEPTH}")


def local_name(element: etree._Element) -> str:
    return etree.QName(element).localname


def path_of(element: etree._Element) -> str:
    """Where the element stands, without namespaces: `/Document/FICdtTrf/CdtTrfTxInf[2]/PmtId`.

    An index (from 1) is given only where siblings share the name.
    """
    parts: list[str] = []
    node: etree._Element | None = element
    while node is not None:
        parent = node.getparent()
        name = local_name(node)
        if parent is not None:
            twins = [child for child in parent if child.tag == node.tag]
            if len(twins) > 1:
                name += f"[{twins.index(node) + 1}]"
        parts.append(name)
        node = parent
    return "/" + "/".join(reversed(parts))
