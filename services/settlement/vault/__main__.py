"""`python -m services.settlement.vault`: terms of the messages on stdin, for an auditor's replay.

Each line of stdin is one ISO 20022 message in base64; each line of stdout is the JSON list of the terms of
its transactions, in order. Reads nothing else and writes nothing.
"""

from __future__ import annotations

import base64
import json
import sys

from services.settlement.vault.terms import told_terms


def main() -> int:
    """Exit status."""
    for line in sys.stdin.buffer:
        sys.stdout.write(json.dumps(told_terms(base64.b64decode(line))) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
