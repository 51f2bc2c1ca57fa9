"""The identity service: who is enrolled, who controls which identity, who may issue what and where it is
recognised.

Guarantees:
- what it enrols has proved possession of its TLS key and of its controller key; no private key ever comes
here; - an OK reply is sent after a durable commit; the same request id with the same content gives the first
reply; - what it says of the chain is as of a final block, and equals what anyone computes from the chain.

Does not guarantee: that an organisation's claims are true (the registrar's to check), that a relayed call
will succeed on chain, or that what a status list says is so. It relays the authors' own signed calls and
never speaks in another's name.
"""
