"""Settings of the ledger service, from `SILKLEDGER_*` (see silkledger.runtime.settings)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from silkledger.runtime.settings import ChainSettings, LaneSettings, ServerSettings


@dataclass(frozen=True, kw_only=True)
class LedgerSettings(ServerSettings, ChainSettings, LaneSettings):
    """What a ledger process needs beside server and chain."""

    # The log's name, e.g. `silkledger.example/embedded`: in checkpoints, promises and on chain. Never reused.
    origin: str
    # PEM of the log's Ed25519 key: it signs promises, and checkpoints first. Like the further ones it must
    # count on chain (docs/formats/checkpoint.md), or the service does not start.
    log_key_file: Path
    # PEMs, with commas between, of further keys of the log, which sign every checkpoint too: while it changes
    # its key.
    further_log_key_files: tuple[str, ...] = ()
    # Longest time from accepted to logged that a promise names, seconds. A breach of it is provable.
    promise_within_s: int = 60
    # How long the sequencer gathers before it makes a batch, milliseconds.
    sequence_interval_ms: int = 200
    # Most leaves of one batch.
    sequence_batch: int = 10_000
    # How long the replica that sequences may be silent before another takes over (PostgreSQL), milliseconds.
    # Below the database's limit for an idle transaction (8 s) only in development.
    log_lease_ms: int = 10_000
    # Witnesses (C2SP tlog-witness) that are asked to cosign anchored heads: `URL VERIFIER-KEY`, with commas
    # between.
    witnesses: tuple[str, ...] = ()
    # Least time between two anchors, milliseconds.
    anchor_interval_ms: int = 1_000
    # Least number of blocks between two captures of the state that evidence needs, before the node prunes it;
    # -1: an eighth of the blocks for which the engine keeps state, 0: nothing is captured (nodes that keep
    # all).
    state_capture_blocks: int = -1
    # Accepted statements that may wait for the sequencer; more are refused with RESOURCE_EXHAUSTED.
    pending_limit: int = 50_000
    # Events of one stream that may wait for the consumer's acknowledgement; delivery goes on after it.
    unacknowledged_limit: int = 1_000
    # Streams of events (Subscribe) that may be open in all, and for one organisation.
    stream_limit: int = 4_000
    organisation_stream_limit: int = 1_000
    # How long acknowledgements are gathered for one commit, milliseconds.
    acknowledge_interval_ms: int = 50
    # How often a stream without matching events is told how far it is, seconds.
    progress_interval_s: int = 15
    # Newest blocks, and about how many of their events, that are held in memory for all streams.
    event_window_blocks: int = 512
    event_window_events: int = 8_192
    # Processes that verify signatures; 0 verifies in the service's own process, -1 starts one per core, at
    # most 8.
    verify_processes: int = -1
    # Where replays asked for over gRPC keep what they rebuilt, so that they survive a restart; nobody else
    # may write there. Without it none are offered.
    replay_directory: Path | None = None
    # Replays worked on at once; others wait.
    replays_at_once: int = 1
    # Worker processes of each; 0 works in one thread of its process.
    replay_processes: int = 0
