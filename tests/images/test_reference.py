"""Image references."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.build.images import ArchiveError
from monopod.build.images.reference import from_file_name, parse

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nginx", "nginx:latest"),
        ("nginx:1.27", "nginx:1.27"),
        ("library/nginx:1.27", "library/nginx:1.27"),
        ("docker.io/library/nginx:1.27", "library/nginx:1.27"),
        ("localhost/app", "app:latest"),
        ("registry.example:5000/a/b/c:x_1.Y", "a/b/c:x_1.Y"),
        ("ghcr.io/a/b:1@sha256:" + "0" * 64, "a/b:1"),
    ],
)
def test_parse_strips_the_registry(text: str, name: str) -> None:
    assert str(parse(text)) == name


@pytest.mark.parametrize("text", ["", "UPPER", "a b", "a:", ":1", "a/../b", "-a", "a:tag:", "a//b"])
def test_invalid_names(text: str) -> None:
    with pytest.raises(ArchiveError, match="is not a valid image name"):
        parse(text)


@given(st.text())
def test_a_file_name_gives_a_name_or_a_clear_error(stem: str) -> None:
    try:
        name = from_file_name(stem)
    except ArchiveError:
        return
    assert parse(str(name)) == name
