"""Two sealed blocks of one height where the validators stand in a contract."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from silkledger.cli.__main__ import app
from silkledger.cli.exit_codes import ExitCode
from silkledger.evidence.contradiction import find_contradiction
from silkledger.evidence.equivocation import prove_headers, verify_equivocation
from silkledger.evidence.reasons import Reason
from tests.unit.evidence.contract_world import FOUR, ContractWorld
from tests.unit.evidence.refusals import refused

LAST = 17
HONEST = ContractWorld()


def other_block(**changes: Any) -> ContractWorld:
    """The same ledger up to block 17, which is another one: sealed by 0, 1 and 3 unless said."""

    def another(draft: Any) -> Any:
        chosen = changes.get("sealers", [FOUR[0], FOUR[1], FOUR[3]])
        return replace(draft, proposer=FOUR[3].address, **changes.get("draft", {})).sealed(chosen)

    return ContractWorld(special={LAST: another})


def proof_of(other: ContractWorld, upto: int = LAST) -> bytes:
    index = LAST - HONEST.start
    lineage = [HONEST.entry(header) for header in HONEST.headers if header.number < upto]
    return prove_headers(HONEST.headers[index].raw, other.headers[index].raw, lineage).encode()


def test_who_sealed_both_is_named() -> None:
    found = verify_equivocation(proof_of(other_block()), HONEST.roots())
    assert found.signers == tuple(str(FOUR[i].address) for i in (0, 1, 3))
    assert found.subject == f"block {LAST}"
    assert found.each_at_fault and found.pinned


def test_without_trust_roots_or_the_parent_nobody_is_accused() -> None:
    with refused(Reason.QBFT_PROPOSER):
        verify_equivocation(proof_of(other_block()))
    with refused(Reason.VALIDATORS_NOT_PROVEN):
        verify_equivocation(proof_of(other_block(), upto=LAST - 1), HONEST.roots())
    with refused(Reason.SEAL_QUORUM):
        verify_equivocation(proof_of(other_block(sealers=FOUR[2:])), HONEST.roots())
    with refused(Reason.NO_CONTRADICTION):
        verify_equivocation(proof_of(HONEST), HONEST.roots())


def test_no_sampled_byte_can_change() -> None:
    data, roots = proof_of(other_block()), HONEST.roots()
    assert verify_equivocation(data, roots).pinned
    for position in range(0, len(data), 41):
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        with pytest.raises(ValueError):
            verify_equivocation(bytes(changed), roots)


def test_found_in_what_two_holders_have_and_made_by_the_command_line(tmp_path: Path) -> None:
    """A header that stands as its hash covers it accuses nobody; a sealed one does."""
    mine, theirs = HONEST.headers[-2], other_block().headers[-2]
    found = find_contradiction(mine.raw, theirs.raw)
    assert found.pair == tuple(sorted((mine.raw, theirs.raw)))
    one, two, out, roots = (tmp_path / name for name in ("one", "two", "out", "roots"))
    one.write_bytes(mine.raw)
    two.write_bytes(theirs.raw)
    roots.write_text(HONEST.roots().to_json())
    arguments = ["evidence", "equivocation", "make", one, two, "--out", out, "--json"]
    alone = CliRunner().invoke(app, list(map(str, arguments)))
    assert (alone.exit_code, json.loads(alone.stdout)["error"]["code"]) == (ExitCode.FAILED, "QBFT_PROPOSER")
    lacking = CliRunner().invoke(app, list(map(str, [*arguments, "--trust-roots", roots])))
    assert json.loads(lacking.stdout)["error"]["code"] == "VALIDATORS_NOT_PROVEN"
    assert not out.exists()
