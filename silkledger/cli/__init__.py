"""The command line: tables for people, `--json` for programs, exit codes that scripts can use."""
