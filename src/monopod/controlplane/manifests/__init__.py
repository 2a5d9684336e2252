"""The manifests of the objects that every cluster starts with."""

from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any

import yaml

Manifest = dict[str, Any]


def read(name: str, values: Mapping[str, str] | None = None) -> list[Manifest]:
    """Return the objects of one file of this package, with ``${…}`` replaced.

    Raises:
        KeyError: The file uses a value that is not given.
    """
    text = (files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load_all(Template(text).substitute(values or {})))
