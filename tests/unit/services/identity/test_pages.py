"""Page tokens continue their own question only."""

from __future__ import annotations

import pytest

from services.identity.errors import FieldRefused
from services.identity.reading.pages import DEFAULT_PAGE, page_limit, position_of, token_of


def test_a_token_gives_its_position_back() -> None:
    assert position_of(("a", None), token_of(("a", None), "12:3")) == "12:3"
    assert position_of(("a", None), "") == ""


@pytest.mark.parametrize("token", ["x", "====", "é", "AAAA", token_of(("a", "TH"), "1")])
def test_another_token_is_refused(token: str) -> None:
    with pytest.raises(FieldRefused) as caught:
        position_of(("a", None), token)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


def test_no_size_is_the_default_size() -> None:
    assert (page_limit(0), page_limit(7)) == (DEFAULT_PAGE, 7)
