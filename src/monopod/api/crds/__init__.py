"""The custom resource definitions: schemas, and every rule that the API server enforces.

The YAML files of this package are applied unchanged; ``monopod.api.resources`` has the same objects
as types, and ``tests/crds`` checks that both agree. ``make api-reference`` documents them.
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
