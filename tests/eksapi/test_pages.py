"""Pagination of a list that changes while it is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.eksapi.errors import EksError
from monopod.eksapi.pages import LARGEST, page

pytestmark = pytest.mark.unit

_NAMES = st.sets(st.from_regex(r"[a-z0-9-]{1,5}", fullmatch=True), max_size=30)


@given(names=_NAMES, size=st.integers(1, LARGEST) | st.none())
def test_pages_add_up_to_the_list(names: set[str], size: int | None) -> None:
    got: list[str] = []
    shown, token = page(names, size, None)
    got += shown
    while token:
        shown, token = page(names, size, token)
        assert shown
        got += shown
    assert got == sorted(names)


@given(stay=_NAMES, gone=_NAMES, new=_NAMES, size=st.integers(1, 5))
def test_names_that_exist_throughout_are_listed_once(
    stay: set[str], gone: set[str], new: set[str], size: int
) -> None:
    shown, token = page(stay | gone, size, None)
    got = list(shown)
    while token:
        shown, token = page(stay | new, size, token)
        got += shown
    assert [name for name in got if name in stay] == sorted(stay)


@given(token=st.text(min_size=1, max_size=20), size=st.integers())
def test_invalid_tokens_and_sizes_are_rejected(token: str, size: int) -> None:
    with pytest.raises(EksError):
        page([], None, token)
    if not 1 <= size <= LARGEST:
        with pytest.raises(EksError):
            page([], size, None)
