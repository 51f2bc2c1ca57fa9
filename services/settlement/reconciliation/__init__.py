"""Matching our legs with the statements of the account servicer, and explaining what does not match.

Guarantee: a run is a pure function of its inputs. The same inputs in any order give the same results digest,
and every match and every break carries the rule that decided and one sentence that says why.

Non-guarantee: a match is not finality (only the settlement institution's signed word is), and a suggested
match is nobody's decision.

The rules are those of docs/formats/reconciliation.md.
"""
