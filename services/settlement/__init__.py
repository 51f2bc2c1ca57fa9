"""The settlement service: one for each bank, run by that bank, with its own database, keys and lane.

Guarantees:
- an OK reply is sent after a durable commit; the same request id and content gets the first reply;
- a payment becomes SETTLED on the settlement institution's signed word only, never on a bank's;
- details of a payment leave this bank to its counterparty alone; the chain sees salted commitments between
  one-time addresses.

Does not guarantee: that the counterparty acts, or that a reported settlement happened. Payment,
reconciliation and evidence are three independent axes; none of them stands for another.
"""
