"""Entries out of their packs: by position in the log, by statement id, by what they say."""
