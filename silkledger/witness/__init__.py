"""A witness of other operators' logs (C2SP tlog-witness): cosigns heads that extend what it cosigned before.

`python -m silkledger.witness` serves one over HTTP.
"""
