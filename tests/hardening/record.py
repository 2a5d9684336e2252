"""The recorded findings, and the page that explains each of them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

RECORD: Final = Path(__file__).with_name("findings.json")
PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "hardening.md"
_ROW: Final = re.compile(r"^\| `([\w-]+)` \| (\w[\w ]*) \| (\d+) \| (.+) \|$", re.MULTILINE)

Counts = Mapping[str, int]
"""Number of findings by the scanner's name of the check."""


def recorded() -> Mapping[str, Any]:
    """Return the record: ``findings`` by subject and check, and ``digest``."""
    return json.loads(RECORD.read_text())


def recorded_counts(subject: str) -> Counts:
    """Return what was found in a subject when the record was made."""
    return recorded()["findings"][subject]


def explained() -> Mapping[str, Mapping[str, tuple[int, str]]]:
    """Return the page's rows: by subject and check, the count and the reason."""
    rows: dict[str, dict[str, tuple[int, str]]] = {}
    for check, subject, count, reason in _ROW.findall(PAGE.read_text()):
        assert check not in rows.get(subject, {}), f"{check} is explained twice for {subject}"
        rows.setdefault(subject, {})[check] = (int(count), reason)
    return rows
