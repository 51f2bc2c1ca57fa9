"""The ledger service: a SCITT transparency service (RFC 9943) anchored on an EVM ledger.

Guarantees. OK to `RegisterStatements` is sent after the commit that survives SIGKILL and power loss, and
carries the log's signed promise. The same request id never registers twice; a refused call leaves no row. A
sequenced entry never moves, and every checkpoint extends the one before it, or nothing is signed and health
says so.

Does not guarantee. *accepted* is not *logged*, *logged* is not *anchored*, *anchored* is not *final*.
Admission checks an issuer against a recent block: it is not the verdict, which is always as of a block and
computed anew. The service never speaks in another's name: it stores and relays what authors signed.
"""
