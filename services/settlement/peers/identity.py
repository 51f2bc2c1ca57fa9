"""Who is enrolled, as the identity service tells it."""

from __future__ import annotations

import grpc

from services.settlement.errors import SettlementError
from services.settlement.payments.office import Counterparty
from services.settlement.peers.channels import CALL_S, Channels
from services.settlement.reconciliation.model import same_bic
from silkledger.identity.v1 import identity_pb2 as pb
from silkledger.identity.v1 import identity_pb2_grpc as rpc
from silkledger.values import Did


class IdentityDirectory:
    """The port `Directory` over gRPC. What it says of an organisation is the registrar's word."""

    def __init__(self, channels: Channels, endpoint: str) -> None:
        self._channels = channels
        self._endpoint = endpoint

    async def find_bank(self, bic: str, lei: str) -> Counterparty | None:
        """The enrolled bank of this BIC (8 or 11 characters), else of this LEI.

        Raises:
            SettlementError: IDENTITY_UNAVAILABLE; retryable.
        """
        spellings = [
            bic,
            *([bic[:8]] if bic.endswith("XXX") else []),
            *([f"{bic}XXX"] if len(bic) == 8 else []),
        ]
        for identifier in [spelling for spelling in spellings if spelling] + ([lei] if lei else []):
            for found in await self._list(identifier):
                if same_bic(found.bic, bic) or (lei and found.lei == lei):
                    return Counterparty(Did(found.did), found.bic, found.lei, found.endpoint)
        return None

    async def _list(self, identifier: str) -> list[pb.Organisation]:
        stub = rpc.IdentityServiceStub(self._channels.to(self._endpoint))
        request = pb.ListOrganisationsRequest(role=pb.ROLE_BANK, identifier=identifier, page_size=10)
        try:
            reply = await stub.ListOrganisations(request, timeout=CALL_S)
        except grpc.aio.AioRpcError as error:
            raise SettlementError(
                "IDENTITY_UNAVAILABLE",
                f"the identity service does not answer: {error.code().name}",
                retry_after_s=1.0,
            ) from None
        return list(reply.organisations)
