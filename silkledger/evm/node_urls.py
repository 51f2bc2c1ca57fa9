"""Nodes by their URLs: one, or several that are held against each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from silkledger.evm.crosscheck import CrossCheckedNode
from silkledger.evm.engines import EngineProfile
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.node_standing import StandingListener
from silkledger.evm.port import Node
from silkledger.runtime.settings import SettingsError, variable_of
from silkledger.values import BlockHash

_NAMED: Final = re.compile(r"(?:([A-Za-z0-9][A-Za-z0-9._-]*)=)?(https?://.+)")
"""`name=URL`, or a URL."""


def node_urls(text: str) -> list[tuple[str, str]]:
    """Names and URLs of `name=URL, name=URL, …`; a URL without a name is called by its host and port.

    Raises:
        SettingsError: not of that form, or a name stands twice. Repeats no URL: it may hold a password.
    """
    named: list[tuple[str, str]] = []
    for index, part in enumerate(text.split(","), start=1):
        match = _NAMED.fullmatch(part.strip())
        try:
            host = urlsplit(match[2]).netloc.rpartition("@")[2] if match else ""
        except ValueError:
            host = ""
        if match is None or not host:
            raise SettingsError({variable_of("node_url"): f"part {index} is not a URL, or a name=URL"})
        named.append((match[1] or host, match[2]))
    if len({name for name, _ in named}) != len(named):
        raise SettingsError({variable_of("node_url"): "a name stands twice"})
    return named


def open_nodes(
    urls: Sequence[tuple[str, str]],
    profile: EngineProfile,
    chain_id: int,
    genesis: BlockHash,
    agreement: int,
    listener: StandingListener = lambda _: None,
) -> Node:
    """The one node; several, by their names, are held against each other and against the pinned chain."""
    nodes = [(name, JsonRpcNode(url, profile)) for name, url in urls]
    if len(nodes) == 1:
        return nodes[0][1]
    return CrossCheckedNode(
        nodes,
        chain_id,
        genesis,
        block_time_s=profile.block_time_s,
        agreement=agreement,
        listener=listener,
    )
