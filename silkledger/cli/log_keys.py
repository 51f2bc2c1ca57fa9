"""The keys of a log that a command believes: those that were given, or what network.json and its node say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from silkledger.cli.context import CommandFailed, Session
from silkledger.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from silkledger.log.checkpoint import LogVerifierKey


def given_log_keys(session: Session, given: Sequence[str]) -> list[LogVerifierKey]:
    """The keys of --log-key, else the one in network.json. Raises: CommandFailed, NotAStack."""
    from silkledger.log.checkpoint import LogVerifierKey, NoteError, log_name

    try:
        keys = [LogVerifierKey.parse(key) for key in given or [session.network_file.log_verifier_key]]
        log_name(keys)
    except NoteError as error:
        raise CommandFailed(ExitCode.USAGE, f"--log-key: {error}") from None
    return keys


async def known_log_keys(
    session: Session, node_url: str = "", given: Sequence[str] = ()
) -> list[LogVerifierKey]:
    """As `given_log_keys`; where none was given, also those that count on chain, as the node says now.

    A node that does not answer adds none. What it answers is its claim: who does not trust the node gives the
    keys.
    """
    from silkledger.evm.engines import profile_named
    from silkledger.evm.log_keys import counting_log_keys
    from silkledger.evm.node import JsonRpcNode
    from silkledger.evm.node_urls import node_urls
    from silkledger.evm.port import NodeError

    keys = given_log_keys(session, given)
    if given:
        return keys
    file = session.network_file
    # Of several nodes the preferred one is asked.
    url = node_urls(node_url or file.node_url)[0][1]
    node = JsonRpcNode(url, profile_named(file.engine))
    try:
        counting = await counting_log_keys(node, file.to_network(), file.origin)
    except NodeError:
        return keys
    finally:
        await node.close()
    return [*keys, *(key for key in counting if key not in keys)]
