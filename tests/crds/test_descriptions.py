"""Every field is described: ``kubectl explain`` and the API reference show it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from monopod.api.crds import manifests

pytestmark = pytest.mark.unit

_STANDARD = {"apiVersion", "kind", "metadata"}
"""The API server describes these fields itself."""
_SCHEMAS = {
    f"{each['spec']['names']['kind']}/{version['name']}": version["schema"]["openAPIV3Schema"]
    for each in manifests()
    for version in each["spec"]["versions"]
}


def _fields(path: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, each in schema.get("properties", {}).items():
        if path or name not in _STANDARD:
            yield f"{path}.{name}", each
            yield from _fields(f"{path}.{name}", each)
    for keyword, suffix in (("items", "[]"), ("additionalProperties", "{}")):
        if keyword in schema:
            yield from _fields(path + suffix, schema[keyword])


@pytest.mark.parametrize("version", _SCHEMAS)
def test_every_field_has_a_description(version: str) -> None:
    schema = _SCHEMAS[version]
    fields = [("", schema), *_fields("", schema)]
    assert len(fields) > 1
    assert not [path for path, each in fields if not each.get("description")]


@pytest.mark.parametrize("version", _SCHEMAS)
def test_descriptions_are_sentences(version: str) -> None:
    """They begin with a capital (or a name) and end with a full stop."""
    schema = _SCHEMAS[version]
    texts = [each["description"] for _, each in [("", schema), *_fields("", schema)]]
    assert not [text for text in texts if not re.fullmatch(r"[A-Z].*\.", text)]
