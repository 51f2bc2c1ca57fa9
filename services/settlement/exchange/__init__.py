"""What banks send each other: deliveries, acknowledgements, status reports, and statements that sign them.

Pure. Formats: docs/formats/settlement.md.
"""
