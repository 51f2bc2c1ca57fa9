"""Runs commands beside each other: tools/beside.py COMMAND ... (each one argument, words split at blanks).

What each says is told when it has ended, one after the other. The exit status is that of the first that
failed.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed


def _run(command: str) -> tuple[str, int, bytes]:
    with tempfile.TemporaryFile() as said:
        status = subprocess.call(shlex.split(command), stdout=said, stderr=subprocess.STDOUT)
        said.seek(0)
        return command, status, said.read()


def main(commands: list[str]) -> int:
    """All of them are brought to their end, whatever becomes of the others."""
    failed = 0
    with ThreadPoolExecutor(len(commands)) as pool:
        for running in as_completed([pool.submit(_run, command) for command in commands]):
            command, status, said = running.result()
            print(f"$ {command}", flush=True)
            sys.stdout.buffer.write(said)
            if status:
                print(f"exit status {status}", flush=True)
                failed = failed or status
    return abs(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
