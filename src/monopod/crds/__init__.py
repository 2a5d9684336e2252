"""The custom resource definitions: schemas and every rule that the API server itself enforces.

The YAML files beside this module are applied as they are; ``monopod.api.resources`` has the same
objects as types, and a test holds the two to each other.
"""

from importlib.resources import files
from typing import Any

import yaml


def manifests() -> list[dict[str, Any]]:
    """Return the definitions as objects ready to be applied, in the order of their names."""
    found = sorted(
        (entry for entry in files(__name__).iterdir() if entry.name.endswith(".yaml")),
        key=lambda entry: entry.name,
    )
    return [yaml.safe_load(entry.read_text(encoding="utf-8")) for entry in found]
