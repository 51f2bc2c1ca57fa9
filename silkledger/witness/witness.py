"""The decision to cosign, in the order of C2SP tlog-witness. It says: this extends all that I saw before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from silkledger.keys import SigningKey
from silkledger.log.checkpoint import (
    Checkpoint,
    LogVerifierKey,
    NoteError,
    NoteKeyType,
    cosign,
    parse_note,
    verify_note,
)
from silkledger.log.tree import EMPTY_ROOT, ProofInvalid, verify_consistency
from silkledger.witness.request import AddCheckpoint, RequestMalformed
from silkledger.witness.state import Head, WitnessState

SIZE_TYPE: Final = "text/x.tlog.size"
TEXT_TYPE: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: str
    content_type: str = TEXT_TYPE


class _Refused(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body)
        self.answer = answer


class Witness:
    """One witness key over the logs it is configured with."""

    def __init__(
        self,
        name: str,
        key: SigningKey,
        logs: Iterable[LogVerifierKey],
        state: WitnessState,
        clock_s: Callable[[], int],
    ) -> None:
        self.vkey = LogVerifierKey.of(name, key.verifying_key, NoteKeyType.COSIGNATURE_V1)
        self._key = key
        self._logs: dict[str, list[LogVerifierKey]] = {}
        for log in logs:
            self._logs.setdefault(log.name, []).append(log)
        self._state = state
        self._clock_s = clock_s

    def add_checkpoint(self, body: bytes) -> Answer:
        """Cosign, or say why not.

        1. the request and its checkpoint parse (400); 2. the origin is known (404); 3. one of its keys signed
        (403); 4. the old size is not beyond the new one (400) and is what was cosigned last (409, with that
        size); 5. an equal size has the equal root (409); 6. the consistency proof holds (422); 7. the head is
        stored, then cosigned (200).
        """
        try:
            # (1)
            request = AddCheckpoint.parse(body)
            claimed = Checkpoint.parse_body(parse_note(request.note).body)
        except (RequestMalformed, NoteError) as error:
            return Answer(400, f"{error}\n")
        # (2)
        keys = self._logs.get(claimed.origin)
        if keys is None:
            return Answer(404, "this witness does not know the origin\n")
        # (3)
        if not any(_signed(request.note, key) for key in keys):
            return Answer(403, "no signature by a key that this witness trusts for the origin\n")
        # (4)
        if request.old_size > claimed.size:
            return Answer(400, "the old size is larger than the checkpoint's\n")
        try:
            self._state.advance(claimed.origin, request.note, lambda seen: _extended(seen, request, claimed))
        except _Refused as refused:
            return refused.answer
        # (7)
        cosigned = parse_note(cosign(request.note, self.vkey.name, self._key, self._clock_s()))
        return Answer(200, cosigned.signatures[-1].line())


def _signed(note: str, key: LogVerifierKey) -> bool:
    try:
        verify_note(note, key)
    except NoteError:
        return False
    return True


def _extended(seen: Head | None, request: AddCheckpoint, new: Checkpoint) -> Head:
    """Steps (4) to (6). Raises: _Refused."""
    old = Head(0, EMPTY_ROOT) if seen is None else seen
    if request.old_size != old.size:
        raise _Refused(Answer(409, f"{old.size}\n", SIZE_TYPE))
    # (5)
    if new.size == old.size and new.root != old.root:
        raise _Refused(Answer(409, f"{old.size}\n", SIZE_TYPE))
    # (6)
    try:
        if old.size:
            verify_consistency(old.size, new.size, old.root, new.root, request.proof)
        elif request.proof:
            raise ProofInvalid("PATH_TOO_LONG", "every tree extends the empty one")
    except ProofInvalid as error:
        raise _Refused(Answer(422, f"{error}\n")) from None
    return Head(new.size, new.root)
