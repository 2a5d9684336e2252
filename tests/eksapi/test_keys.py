"""The file of access keys, replaced while the process runs."""

from pathlib import Path

import pytest

from monopod.eksapi.keys import KeyFile
from monopod.identity.access_key import SEAL_FILE, AccessKey, Seal, new_access_key

pytestmark = pytest.mark.unit

_SEAL = Seal.new()


def _replace(path: Path, *keys: AccessKey) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_bytes(_SEAL.close(keys))
    temporary.rename(path)


def test_keys_are_valid_exactly_while_they_are_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    (tmp_path / SEAL_FILE).write_bytes(_SEAL.key)
    first, second = new_access_key("a"), new_access_key("b", ["dev"])
    _replace(path, first)
    held = KeyFile(path)
    assert held.current() == {first.id: first}
    _replace(path, first, second)
    assert held.current() == {first.id: first, second.id: second}
    _replace(path, second)
    assert held.current() == {second.id: second}
    path.unlink()
    assert held.current() == {}
    _replace(path, first)
    assert held.current() == {first.id: first}
    path.write_text("[")
    assert held.current() == {}
