"""Cheating with a document in a manifest, with cosignatures, with promises: part of test_adversarial.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from silkledger import cbor
from silkledger.cbor import CborValue
from silkledger.evidence.assemble import document_section
from silkledger.evidence.bundle import Bundle, DocumentSection
from silkledger.evidence.reasons import Reason
from silkledger.evidence.verdict import Verdict
from silkledger.log.checkpoint import LogVerifierKey, Note, NoteKeyType, cosign, parse_note
from silkledger.log.tree import Tree
from silkledger.manifest import manifest_tree
from silkledger.values import DocumentType, StatementId
from tests.unit.evidence.cheating import Case, edited
from tests.unit.evidence.manifest_world import ManifestWorld, content_of, leaf, leaves, resigned
from tests.unit.evidence.sealed_world import SealedWorld
from tests.unit.evidence.witnesses import NAMES, pin, promise, vkey, with_cosignatures
from tests.unit.evidence.world import DOCUMENT, START, World, log_private_key


def in_manifest(edit: Callable[[ManifestWorld, Bundle], Bundle]) -> Callable[[], Verdict]:
    """The bundle of a document in a manifest, edited after it was made."""

    def cheat() -> Verdict:
        world = ManifestWorld(first_header=0)
        sealed = SealedWorld(world)
        return sealed.verify(edit(world, sealed.bundle()))

    return cheat


def document(**changes: object) -> Callable[[], Verdict]:
    """Another leaf, index or path than the document's."""

    def edit(_: ManifestWorld, bundle: Bundle) -> Bundle:
        assert bundle.document is not None
        return replace(bundle, document=replace(bundle.document, **changes))  # type: ignore[arg-type]

    return in_manifest(edit)


def another_manifest(world: ManifestWorld, bundle: Bundle) -> Bundle:
    return replace(bundle, document=document_section(leaves(8, world.index), world.index))


def no_proof(_: ManifestWorld, bundle: Bundle) -> Bundle:
    return replace(bundle, document=None)


def proof_with_a_statement(_: World, bundle: Bundle) -> Bundle:
    return replace(bundle, document=document_section(leaves(1, 0), 0))


def manifest_of(payload: dict[int | str, CborValue]) -> Callable[[], Verdict]:
    """The manifest's payload with these changes, under a signature of its issuer."""

    def edit(world: ManifestWorld, bundle: Bundle) -> Bundle:
        changed = cbor.encode(content_of(world.statement.raw) | payload)
        return replace(bundle, statement=resigned(world.statement.raw, world.issuer.key, changed))

    return in_manifest(edit)


def other_type(world: ManifestWorld, bundle: Bundle) -> Bundle:
    """A leaf of another type under the root: the issuer signed a manifest that mixes types."""
    mixed = leaf(0, DOCUMENT, DocumentType("380"))
    tree = Tree()
    tree.append(mixed.encode())
    payload = cbor.encode({1: 1, 2: bytes(tree.root()), 3: 1})
    raw = resigned(world.statement.raw, world.issuer.key, payload)
    return replace(bundle, statement=raw, document=DocumentSection(mixed.encode(), 0, ()))


PATH = tuple(manifest_tree(leaves(5, 2)).inclusion_path(2))


def witnessed(
    threshold: int, *names: str, edit: Callable[[Bundle], Bundle] = lambda bundle: bundle
) -> Callable[[], Verdict]:
    """A checkpoint that these witnesses cosigned, before `edit`; three are pinned."""

    def cheat() -> Verdict:
        sealed = SealedWorld()
        bundle = edit(with_cosignatures(sealed.bundle(), *names))
        return sealed.verify(bundle, roots=replace(sealed.roots(), witnesses=pin(threshold)))

    return cheat


def cosignature_of_another_head(bundle: Bundle) -> Bundle:
    other = with_cosignatures(World(checkpoint_size=9).evidence(), *NAMES[:2])
    head, first, _ = parse_note(bundle.log.checkpoint.decode()).signatures
    stolen = parse_note(other.log.checkpoint.decode()).signatures[2]
    body = bundle.log.checkpoint.decode().partition("\n\n")[0] + "\n"
    text = Note(body, (head, first, stolen)).text()
    return replace(bundle, log=replace(bundle.log, checkpoint=text.encode()))


def own_witness(bundle: Bundle) -> Bundle:
    """A line by a key that the cheat made, under the name of a witness that is pinned."""
    name = NAMES[0]
    key = log_private_key(9)
    note = cosign(bundle.log.checkpoint.decode(), name, key, START + 30)
    named = str(LogVerifierKey.of(name, key.verifying_key, NoteKeyType.COSIGNATURE_V1))
    return replace(bundle, log=replace(bundle.log, checkpoint=note.encode(), cosigners=(named,)))


def renamed_witness(bundle: Bundle) -> Bundle:
    return replace(bundle, log=replace(bundle.log, cosigners=(str(vkey(NAMES[2])),)))


def promised(make: Callable[[World], bytes]) -> Callable[[], Verdict]:
    return edited(lambda world, bundle: replace(bundle, promise=make(world)))


def of_another_log(world: World) -> bytes:
    made = promise(world)
    return resigned(made, world.log_key, cbor.encode(content_of(made) | {1: "log.example/other"}))


R = Reason
DOCUMENT_CASES = (
    Case("a neighbour's leaf", "document", R.DOCUMENT_DIGEST, document(leaf=leaves(5, 2)[3].encode())),
    Case("a leaf of no form", "document", R.MANIFEST_LEAF_MALFORMED, document(leaf=b"\x80")),
    Case("a leaf of another type", "document", R.MANIFEST_TYPE_MIXED, in_manifest(other_type)),
    Case("a document beyond the end", "document", R.DOCUMENT_INDEX, document(index=5)),
    Case("another manifest's path", "document", R.DOCUMENT_ROOT, in_manifest(another_manifest)),
    Case("a document's path too long", "document", R.DOCUMENT_PATH_TOO_LONG, document(path=(*PATH, PATH[0]))),
    Case("a document's path too short", "document", R.DOCUMENT_PATH_TOO_SHORT, document(path=PATH[:-1])),
    Case("a manifest without a document", "document", R.DOCUMENT_PROOF_MISSING, in_manifest(no_proof)),
    Case("a proof with a statement", "document", R.DOCUMENT_PROOF_UNEXPECTED, edited(proof_with_a_statement)),
    Case("a manifest of size 0", "statement", R.MANIFEST_SIZE, manifest_of({1: 0})),
    Case("a manifest without a root", "statement", R.MANIFEST_PAYLOAD_MALFORMED, manifest_of({2: b""})),
    Case("another leaf format", "statement", R.MANIFEST_LEAF_FORMAT, manifest_of({3: 2})),
    Case("one cosignature too few", "cosignatures", R.COSIGNATURES_TOO_FEW, witnessed(3, *NAMES[:2])),
    Case("a cosignature of another head", "cosignatures", R.COSIGNATURE_INVALID,
         witnessed(2, *NAMES[:2], edit=cosignature_of_another_head)),
    Case("another witness named", "cosignatures", R.COSIGNATURE_KEY,
         witnessed(1, NAMES[0], edit=renamed_witness)),
    Case("a signature line nobody is named for", "log_key", R.CHECKPOINT_MALFORMED,
         witnessed(1, NAMES[0], edit=lambda b: replace(b, log=replace(b.log, cosigners=())))),
    Case("a promise about another statement", "promise", R.PROMISE_OTHER_STATEMENT,
         promised(lambda w: promise(w, StatementId(bytes(32))))),
    Case("a promise by another key", "promise", R.PROMISE_KEY,
         promised(lambda w: promise(w, key=log_private_key(2)))),
    Case("a promise altered", "promise", R.PROMISE_SIGNATURE, promised(lambda w: promise(w)[:-1] + b"\0")),
    Case("a promise of no form", "promise", R.PROMISE_MALFORMED, promised(lambda w: promise(w) + b"\0")),
    Case("a promise of another log", "promise", R.ORIGIN_MISMATCH, promised(of_another_log)),
)  # fmt: skip
