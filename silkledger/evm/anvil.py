"""The embedded engine as a process: anvil on loopback, with its ledger kept on disk.

anvil writes its own state file in place, so a kill in the middle of a write leaves half a file. Here anvil
neither writes nor mines by itself. A thread makes one block per block time and *does not make block n+1
before block n is on disk* (fetched with `anvil_dumpState`, written to a temporary file, fsynced, renamed).
So:

- killed at any instant, anvil loses at most its newest block, however long a dump takes; a slow dump slows
  the blocks down and weakens nothing. With finality depth k the rule "k · block time > dump interval + dump
  duration" holds for every k ≥ 1, because a block time here *is* interval + duration.
- the dump before the newest one is kept beside it, for a disk that loses the newest. That goes back by two
  blocks, so the profile's depth is 2.

The process dies with its parent. It has no seals and no keys: development only.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from silkledger.evm.anvil_rpc import TIMEOUT_S, AnvilRpc, RpcRefused
from silkledger.evm.anvil_state import LoadedState, StateDamaged, load_state, store_state
from silkledger.evm.engines import ANVIL
from silkledger.evm.toolchain import anvil_binary
from silkledger.runtime.orphans import ending_with_parent

DEV_CHAIN_ID: Final = 7317

_START_DEADLINE_S: Final = 30.0
"""How long anvil may take to load its state and answer."""
_STOP_DEADLINE_S: Final = 5.0
_REAP_S: Final = 1.0
_HISTORY_EVERY: Final = 32
"""Blocks between dumps of earlier states. A kill loses the states (not the blocks) since the last of them."""


class ChainFailed(RuntimeError):
    """The embedded chain cannot be started or has died. The message says where its log is."""


@dataclass(frozen=True, slots=True)
class ChainProgress:
    """What the chain's driver did last; for status displays and tests."""

    mined: int
    """Blocks made since start."""
    dumps: int
    """Blocks put on disk since start."""
    dump_bytes: int
    dump_seconds: float


class EmbeddedChain:
    """anvil with its directory. `start`, then `stop`; `start` again goes on with the same ledger.

    Guarantees after `start` returns: the node answers at `url`, on the chain of `directory` if there was one.
    A block that has a successor is on disk. `wait` and `failure` tell when it died by itself.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        block_time_s: float = 1.0,
        chain_id: int = DEV_CHAIN_ID,
        binary: Path | None = None,
    ) -> None:
        self._directory = directory
        self._port = port
        self._block_time_s = block_time_s
        self._chain_id = chain_id
        self._binary = binary
        self._rpc = AnvilRpc(port)
        self._process: subprocess.Popen[bytes] | None = None
        self._driver: threading.Thread | None = None
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._progress = ChainProgress(0, 0, 0, 0.0)
        self._failure: str | None = None
        self._time = 0

    @property
    def directory(self) -> Path:
        return self._directory

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def log_file(self) -> Path:
        return self._directory / "anvil.log"

    @property
    def pid(self) -> int | None:
        """anvil's process id while it runs."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def failure(self) -> str | None:
        """Why the chain stopped by itself; None while it runs or after `stop`."""
        return self._failure

    @property
    def progress(self) -> ChainProgress:
        return self._progress

    def start(self) -> None:
        """Load the newest complete dump and run. Call it in a thread that lives as long as the chain shall:
        the kernel ends anvil with the thread that started it.

        Raises:
            ChainFailed: no binary, the port is taken, or every dump on disk is damaged.
        """
        if self.running:
            raise ChainFailed("the chain is running already")
        self._directory.mkdir(parents=True, exist_ok=True)
        self._port = _claim_port(self._port)
        self._rpc = AnvilRpc(self._port)
        loaded = self._load()
        self._failure = None
        self._stopping.clear()
        self._progress = ChainProgress(0, 0, 0, 0.0)
        self._process = self._spawn(loaded)
        try:
            self._await_answer()
            self._time = int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
            if loaded is None:
                self._dump()  # genesis first: its time is part of every later hash
        except BaseException:
            self._end_process()
            raise
        if loaded is not None:
            loaded.file.unlink()
        self._driver = threading.Thread(target=self._drive, name="embedded-chain", daemon=True)
        self._driver.start()

    def stop(self) -> None:
        """End anvil; every block is on disk already, pending transactions are not. Idempotent."""
        self._stopping.set()
        if self._driver is not None:
            self._driver.join(TIMEOUT_S)
            self._driver = None
        if self.running and self._failure is None:
            self._dump(history=True)
        self._end_process()

    def kill(self) -> None:
        """End anvil as SIGKILL does, with nothing said or saved. For tests of recovery."""
        self._stopping.set()
        if self._process is not None:
            self._process.kill()
        if self._driver is not None:
            self._driver.join(TIMEOUT_S)
            self._driver = None
        self._end_process()

    def wait_for(self, condition: Callable[[ChainProgress], bool], timeout_s: float = 30.0) -> ChainProgress:
        """Block until the driver's progress satisfies `condition`. Raises: ChainFailed, TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._failure is not None or condition(self._progress), timeout_s
            ):
                raise TimeoutError(f"after {timeout_s:g} s: {self._progress}")
        if self._failure is not None:
            raise ChainFailed(self._failure)
        return self._progress

    def rpc(self, method: str, *params: object) -> Any:
        """One JSON-RPC call, synchronously. For the driver and for tests' fault injection.

        Raises:
            ChainFailed: an error was answered. OSError, http.client.HTTPException: nothing was.
        """
        try:
            return self._rpc(method, *params)
        except RpcRefused as error:
            raise ChainFailed(str(error)) from error

    def _drive(self) -> None:
        """Make a block, put it on disk, and only then think of the next."""
        due = time.monotonic()
        try:
            while True:
                due = max(due + self._block_time_s, time.monotonic())
                if self._stopping.wait(due - time.monotonic()):
                    return
                self._mine()
                self._dump(history=self._progress.mined % _HISTORY_EVERY == 0)
        except (OSError, http.client.HTTPException, ValueError, ChainFailed) as error:
            if not self._stopping.is_set():
                code = self._exit_code()
                why = f"exit code {code}" if code is not None else f"{type(error).__name__}: {error}"
                self._fail(f"the embedded chain failed ({why}); see {self.log_file}")

    def _exit_code(self) -> int | None:
        """Of a process that failed to answer: it may be ending just now."""
        if self._process is None:
            return None
        try:
            return self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            return None

    def _mine(self) -> None:
        """One block with the time of day; anvil itself would go on from the time of the last block it
        loaded.
        """
        self._time = max(int(time.time()), self._time + 1)
        self.rpc("evm_mine", self._time)
        self._note(mined=1)

    def _dump(self, *, history: bool = False) -> None:
        """One complete dump on disk, under its name only once it is whole; the one before it stays.

        With `history` it also holds the states of the blocks before, which is most of the work.
        """
        started = time.monotonic()
        packed = bytes.fromhex(self.rpc("anvil_dumpState", history)[2:])
        store_state(self._directory, packed, history=history)
        self._note(dumps=1, size=len(packed), seconds=time.monotonic() - started)

    def _load(self) -> LoadedState | None:
        try:
            return load_state(self._directory)
        except StateDamaged as error:
            raise ChainFailed(str(error)) from error

    def _spawn(self, state: LoadedState | None) -> subprocess.Popen[bytes]:
        command = [str(self._binary or anvil_binary()), *self._flags(state)]
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=ending_with_parent(own_group=True),
            )

    def _flags(self, state: LoadedState | None) -> list[str]:
        flags = ["--host", "127.0.0.1", "--port", str(self._port), "--chain-id", str(self._chain_id)]
        flags += ["--no-mining", "--order", "fifo", "--accounts", "0", "--hardfork", "paris", "--quiet"]
        flags += ["--gas-price", "0", "--block-base-fee-per-gas", "0"]
        flags += ["--prune-history", str(ANVIL.state_history_blocks)]
        # anvil makes a genesis block at every start, also when it loads a state that has one, and then keeps
        # both: only with the first one's time are they the same block.
        genesis_time = int(time.time()) if state is None else state.genesis_time
        flags += ["--timestamp", str(genesis_time)]
        return flags if state is None else [*flags, "--load-state", str(state.file)]

    def _await_answer(self) -> None:
        deadline = time.monotonic() + _START_DEADLINE_S
        while True:
            if not self.running:
                raise ChainFailed(f"anvil ended at start; see {self.log_file}")
            try:
                answered = int(self.rpc("eth_chainId"), 16)
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > deadline:
                    raise ChainFailed(f"anvil does not answer; see {self.log_file}") from error
                self._stopping.wait(0.02)
                continue
            if answered != self._chain_id:
                raise ChainFailed(f"port {self._port} is answered by chain {answered}, not {self._chain_id}")
            return

    def _end_process(self) -> None:
        self._rpc.close()
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _note(self, *, mined: int = 0, dumps: int = 0, size: int | None = None, seconds: float = 0.0) -> None:
        with self._changed:
            last = self._progress
            self._progress = ChainProgress(
                mined=last.mined + mined,
                dumps=last.dumps + dumps,
                dump_bytes=last.dump_bytes if size is None else size,
                dump_seconds=seconds if dumps else last.dump_seconds,
            )
            self._changed.notify_all()

    def _fail(self, why: str) -> None:
        with self._changed:
            self._failure = why
            self._changed.notify_all()


def _claim_port(port: int) -> int:
    """`port`, or any free one for 0. Another chain on our port would answer in the name of ours.

    Raises:
        ChainFailed: something listens there already.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ChainFailed(f"port {port} is taken") from error
        return int(probe.getsockname()[1])
