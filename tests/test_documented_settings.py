"""The page of settings is complete: every variable, with its default."""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

import monopod

pytestmark = pytest.mark.unit

_PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "settings.md"
_ROWS = {
    name: cells.split(" | ")
    for name, cells in re.findall(
        r"^\| `(MONOPOD_\w+)` \| (.+) \|$", _PAGE.read_text(), re.MULTILINE
    )
}
_OF_TESTS = (
    "MONOPOD_E2E_",
    "MONOPOD_FAULT_",
    "MONOPOD_FIGURES",
    "MONOPOD_FUZZ",
    "MONOPOD_LONG",
    "MONOPOD_SCAN",
    "MONOPOD_UPGRADE",
    "MONOPOD_UPSTREAM",
)


def _classes() -> Iterator[type[BaseSettings]]:
    for module in pkgutil.walk_packages(monopod.__path__, "monopod."):
        if not module.name.endswith("settings"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, BaseSettings):
                yield value


_FIELDS = {
    f"{each.model_config.get('env_prefix', '')}{name}".upper(): field
    for each in _classes()
    for name, field in each.model_fields.items()
}


def _default(field: FieldInfo) -> str | None:
    """Write a default as the page does; None if it depends on the host."""
    value = field.default
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return None
    if value is None:
        return "-"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, frozenset):
        return f"`{json.dumps(sorted(value), separators=(',', ':'))}`"
    if isinstance(value, tuple):
        value = ",".join(value)
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def test_settings_are_found() -> None:
    assert {"MONOPOD_HOME", "MONOPOD_LOG_LEVEL"} < _FIELDS.keys()


@pytest.mark.parametrize("name", sorted(_FIELDS))
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    assert name in _ROWS, f"{_PAGE.name} has no row for {name}"
    default, meaning = _ROWS[name]
    assert meaning
    assert _default(_FIELDS[name]) in (default, None)


def test_no_setting_is_documented_that_does_not_exist() -> None:
    known = {*_FIELDS, *(name for name in _ROWS if name.startswith(_OF_TESTS))}
    assert _ROWS.keys() <= known
