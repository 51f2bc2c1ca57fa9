"""Evidence captured from a real node, with the real contracts, and verified offline."""

from __future__ import annotations

from hashlib import sha256

import pytest

from silkledger.evidence.reasons import Reason
from silkledger.evidence.verdict import CheckResult, Outcome
from silkledger.evidence.verify import verify_bundle
from silkledger.evm.deploy import deploy
from silkledger.evm.failure import CaptureFailed
from silkledger.evm.node import JsonRpcNode
from silkledger.values import Digest
from tests.support.anvil import FAST
from tests.vectors.evidence.scenario import (
    CHINA,
    DOCUMENT,
    GOVERNANCE,
    ISSUER,
    Told,
    account,
    reach,
    tell,
)

DIGEST = Digest(sha256(DOCUMENT).digest())


@pytest.fixture
async def told(node: JsonRpcNode) -> Told:
    network = await deploy(node, account(100), GOVERNANCE.address, FAST)
    return await tell(node, network)


async def test_a_document_before_and_after_its_revocation(told: Told) -> None:
    call = (bytes(told.statement.id), 4, 0)
    before = await told.node.block_number()
    effective = before + 3
    revoked = await told.send(ISSUER, "DocumentStatus", "revoke", *call[:2], effective)
    await reach(told.node, effective)
    early, late = await told.capture(told.anchor_block), await told.capture(effective)

    roots = await told.roots(told.anchor_block, effective)
    good = verify_bundle(DIGEST, early.encode(), roots)
    assert good.outcome is Outcome.PASS_DEVELOPMENT_ONLY, good.checks

    bad = verify_bundle(DIGEST, late.encode(), roots)
    assert bad.outcome is Outcome.FAIL
    assert bad.check("status_in_force").reason == Reason.DOCUMENT_REVOKED

    earlier = verify_bundle(DIGEST, late.encode(), roots, as_of=told.anchor_block)
    assert earlier.outcome is Outcome.PASS_DEVELOPMENT_ONLY, earlier.checks
    assert any(f"at block {revoked}" in notice for notice in earlier.notices)


async def test_an_issuer_without_accreditation_is_evidence_too(told: Told) -> None:
    """What fails is shown as failing: capturing refuses only what does not fit together."""
    issuer_document = await told.capture(told.anchor_block)
    grant = next(
        history.records
        for state in issuer_document.states
        for history in state.histories
        if history.records and history.records[0].record[31] == 2 and state.contract == 3
    )
    grant_id = grant[0].record[32:64]
    effective = await told.send(CHINA, "TrustRegistry", "revoke", grant_id, told.anchor_block - 1, 1)
    bundle = await told.capture(effective)
    verdict = verify_bundle(DIGEST, bundle.encode(), await told.roots(effective))
    assert verdict.check("authority_known").result is CheckResult.PASS
    assert verdict.check("authority_in_force").reason == Reason.ACCREDITATION_REVOKED


async def test_over_a_long_time_only_both_ends_are_put_in(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("silkledger.evm.capture.MAX_CONTIGUOUS", 2)
    as_of = told.anchor_block + 4
    await reach(told.node, as_of)
    bundle = await told.capture(as_of)
    assert len(bundle.headers) == 3
    one = verify_bundle(DIGEST, bundle.encode(), await told.roots(as_of))
    assert one.check("headers").reason == Reason.BLOCK_NOT_PINNED
    both = verify_bundle(DIGEST, bundle.encode(), await told.roots(told.anchor_block, as_of))
    assert both.outcome is Outcome.PASS_DEVELOPMENT_ONLY


async def test_what_does_not_fit_together_is_not_handed_out(told: Told) -> None:
    with pytest.raises(CaptureFailed):
        await told.capture(told.anchor_block - 1)
    told.anchor_block -= 1
    with pytest.raises(CaptureFailed):
        await told.capture(told.anchor_block + 1)
    told.anchor_block += 1
    told.tree.append(b"one more")
    told.log_section = lambda size: Told.log_section(told, 7)  # type: ignore[method-assign]
    with pytest.raises(CaptureFailed) as caught:
        await told.capture(told.anchor_block)
    assert caught.value.reasons == (Reason.SIZE_NOT_LINKED,)
