"""What we use of the Ethereum libraries that change the process when they are imported: import it from here.

They import py_ecc, which raises Python's recursion limit a hundredfold. A deeply nested answer (JSON of a
node or a signer) would then end the process instead of the call; so the limit is put back.
"""

from __future__ import annotations

import sys

_limit = sys.getrecursionlimit()
from eth_keyfile.keyfile import decode_keyfile_json  # noqa: E402
from web3.providers.async_base import AsyncJSONBaseProvider  # noqa: E402
from web3.types import RPCEndpoint  # noqa: E402

sys.setrecursionlimit(_limit)

__all__ = ["AsyncJSONBaseProvider", "RPCEndpoint", "decode_keyfile_json"]
