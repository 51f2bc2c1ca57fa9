"""The signer and the limits of a service's lane, as its settings name them. For composition roots."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from silkledger.evm.keystore import load_account
from silkledger.evm.lane_types import LaneLimits
from silkledger.evm.signer import LocalSigner, Signer
from silkledger.evm.web3signer import Web3Signer
from silkledger.keys.files import KeyFileError
from silkledger.keys.suites import KeyShapeError
from silkledger.runtime.db import IDLE_IN_TRANSACTION_MS
from silkledger.runtime.settings import LaneSettings, Mode, SettingsError, require_development, variable_of
from silkledger.runtime.telemetry import logger
from silkledger.values import Address, ValueShapeError


@asynccontextmanager
async def lane_signer(settings: LaneSettings) -> AsyncIterator[Signer]:
    """A key in this process, or one behind HTTP; its connections end with the block.

    A signer behind HTTP is not asked anything yet: the service starts without it, and its health tells.

    Raises:
        SettingsError: none or both are named, or what is named cannot be used.
    """
    if (settings.lane_key_file is None) == (settings.lane_signer_url is None):
        raise SettingsError(
            {
                variable_of("lane_key_file"): "is required, unless LANE_SIGNER_URL is given",
                variable_of("lane_signer_url"): "is required, unless LANE_KEY_FILE is given",
            }
        )
    if settings.lane_signer_url is None:
        yield _local(settings)
        return
    remote = _remote(settings)
    try:
        yield remote
    finally:
        await remote.close()


def lane_limits(settings: LaneSettings, mode: Mode) -> LaneLimits:
    """The lane's limits with the lease of the settings.

    Raises:
        SettingsError: in production, a lease that an idle transaction of a stopped owner may outlast.
    """
    if settings.lane_lease_ms <= IDLE_IN_TRANSACTION_MS:
        text = f"a lease of {settings.lane_lease_ms} ms, not above {IDLE_IN_TRANSACTION_MS} ms,"
        logger().warning("development_only", warning=require_development(mode, text))
    return LaneLimits(lease_s=settings.lane_lease_ms / 1000)


def _local(settings: LaneSettings) -> LocalSigner:
    assert settings.lane_key_file is not None
    try:
        return LocalSigner(load_account(settings.lane_key_file, settings.lane_key_password_file))
    except (KeyFileError, KeyShapeError) as error:
        raise SettingsError({variable_of("lane_key_file"): str(error)}) from None


def _remote(settings: LaneSettings) -> Web3Signer:
    assert settings.lane_signer_url is not None
    try:
        address = Address.from_hex(settings.lane_signer_address or "")
    except ValueShapeError:
        raise SettingsError({variable_of("lane_signer_address"): "must be an address, 0x…"}) from None
    try:
        return Web3Signer(settings.lane_signer_url, address)
    except ValueError as error:
        raise SettingsError({variable_of("lane_signer_url"): str(error)}) from None
