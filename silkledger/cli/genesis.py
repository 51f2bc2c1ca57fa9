"""`evidence trust-roots`: what to trust about a QBFT network, from its genesis file. Offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output

if TYPE_CHECKING:
    from silkledger.evidence.genesis import Genesis
    from silkledger.evidence.trust_roots import TrustRoots


def trust_roots(
    genesis: Annotated[Path, typer.Argument(help="The network's genesis file (Besu).")],
    directory: Annotated[str, typer.Option(help="Address of the NetworkDirectory.")],
    contract: Annotated[
        list[str], typer.Option(help="NAME=ADDRESS as the directory lists it; for each of the contracts.")
    ],
    out: Annotated[Path, typer.Option(help="Where to write the trust roots.")],
    genesis_hash: Annotated[
        str, typer.Option(help="Genesis hash as the network's members tell it. Compared.")
    ] = "",
    validator_slot: Annotated[
        int | None,
        typer.Option(min=0, help="Contract mode: storage slot of the array that getValidators() returns."),
    ] = None,
    pin: Annotated[
        list[str] | None, typer.Option(help="NUMBER=HASH of a further block known to be on the ledger.")
    ] = None,
    relying: Annotated[str, typer.Option(help="Country on whose behalf to verify.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Make trust roots of a QBFT network from its Besu genesis file.

    The genesis hash is computed from the file. Whoever gave you the file could have given you another
    network's: compare the hash with what the members say (--genesis-hash).
    """
    from silkledger.evidence.genesis_fields import GenesisError
    from silkledger.evidence.trust_roots import TrustRootsError
    from silkledger.values import ValueShapeError

    output = Output(as_json)
    try:
        roots = _roots(genesis, directory, contract, genesis_hash, validator_slot, pin or [], relying)
    except (GenesisError, TrustRootsError, ValueShapeError, FileNotFoundError) as error:
        output.error(str(error), {"code": "USAGE", "message": str(error)})
        raise typer.Exit(int(ExitCode.USAGE)) from None
    out.write_text(roots.to_json(), encoding="utf-8")
    facts = {"trustRoots": str(out), "chainId": roots.chain_id, "genesisHash": str(roots.genesis_hash)}
    output.result(facts, lambda: output.facts(str(out), list(facts.items())[1:]))


def _roots(
    path: Path,
    directory: str,
    contract: list[str],
    genesis_hash: str,
    slot: int | None,
    pin: list[str],
    relying: str,
) -> TrustRoots:
    """Raises: GenesisError, TrustRootsError, ValueShapeError, FileNotFoundError."""
    from silkledger.evidence.genesis import read_genesis
    from silkledger.evidence.genesis_fields import GenesisError
    from silkledger.evidence.header import EngineKind
    from silkledger.evidence.trust_roots import TrustRoots
    from silkledger.values import Address, BlockHash, CountryCode

    genesis = read_genesis(path.read_bytes())
    if genesis_hash and BlockHash.from_hex(genesis_hash) != genesis.header.hash:
        raise GenesisError(f"the file's genesis hash is {genesis.header.hash}, not {genesis_hash}")
    roots = TrustRoots(
        chain_id=genesis.chain_id,
        genesis_hash=genesis.header.hash,
        engine=EngineKind.QBFT,
        rules=genesis.rules or genesis.contract_rules(_slot(genesis, slot)),
        directory=Address.from_hex(directory),
        contracts={name: Address.from_hex(value) for name, value in _pairs(contract, "NAME=ADDRESS")},
        pinned_blocks={
            _block(number): BlockHash.from_hex(value) for number, value in _pairs(pin, "NUMBER=HASH")
        },
        relying_country=CountryCode(relying) if relying else None,
    )
    if genesis.contract_from and max(roots.pinned_blocks, default=0) < genesis.contract_from - 1:
        raise GenesisError(
            f"the network changes to contract mode at block {genesis.contract_from}: pin the block before it "
            "or a later one (--pin)"
        )
    return TrustRoots.from_json(roots.to_json())


def _slot(genesis: Genesis, slot: int | None) -> int:
    from silkledger.evidence.genesis_fields import GenesisError

    if slot is None:
        raise GenesisError(f"the validators stand in contract {genesis.contract}: say --validator-slot")
    return slot


def _pairs(assignments: list[str], form: str) -> list[tuple[str, str]]:
    from silkledger.evidence.genesis_fields import GenesisError

    pairs = [assignment.partition("=") for assignment in assignments]
    if not all(name and value for name, _, value in pairs):
        raise GenesisError(f"must be {form}")
    if len({name for name, _, _ in pairs}) != len(pairs):
        raise GenesisError(f"{form}: one stands twice")
    return [(name, value) for name, _, value in pairs]


def _block(text: str) -> int:
    from silkledger.evidence.genesis_fields import GenesisError

    if not text.isascii() or not text.isdigit():
        raise GenesisError(f"{text!r} is no block number")
    return int(text)
