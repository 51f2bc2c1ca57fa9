"""`python -m silkledger.witness --name NAME --key KEY.pem --state FILE --log VKEY [--log VKEY …]`.

Prints its verifier key and address, serves until SIGTERM. Each --log is the verifier key of a log to be
cosigned; two of one origin while that log changes its key. The key file is an Ed25519 PEM, made at first use.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from silkledger.keys import KeyFileError, PrivateKey, Suite, generate, load_key, save_key
from silkledger.log.checkpoint import LogVerifierKey, NoteError
from silkledger.witness.server import WitnessServer
from silkledger.witness.state import WitnessState
from silkledger.witness.witness import Witness


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m silkledger.witness", description=__doc__)
    parser.add_argument("--name", required=True, help="the witness's name in its signature lines")
    parser.add_argument("--key", type=Path, required=True, help="PEM of its Ed25519 key")
    parser.add_argument("--state", type=Path, required=True, help="SQLite file; never to be replaced")
    parser.add_argument("--log", action="append", required=True, help="verifier key of a log")
    parser.add_argument("--listen", default="127.0.0.1:0", help="host:port")
    return parser.parse_args(arguments)


def _key(path: Path) -> PrivateKey:
    if not path.exists():
        save_key(path, generate(Suite.EDDSA))
    return load_key(path)


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 stopped by SIGTERM, 2 cannot start."""
    given = _arguments(arguments)
    host, _, port = given.listen.rpartition(":")
    try:
        logs = [LogVerifierKey.parse(text) for text in given.log]
        state = WitnessState(given.state)
        witness = Witness(given.name, _key(given.key), logs, state, lambda: int(time.time()))
        server = WitnessServer((host, int(port)), witness)
    except (NoteError, KeyFileError, OSError, ValueError) as error:
        sys.stderr.write(f"cannot start: {error}\n")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    sys.stdout.write(f"{witness.vkey}\nhttp://{host}:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
    server.server_close()
    state.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
