"""What every service process starts with: settings, database, server, authentication, errors, health,
telemetry.

Nothing here knows a service's domain. Importing any module of this package does nothing: no I/O, no
settings, no client; a service's `__main__.py` wires it.
"""
