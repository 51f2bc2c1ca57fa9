"""Alembic's entry point. Migrations run through silkledger.runtime.migrations, at the start of the
service.
"""
