"""The support of each setting of AWS's load balancers: served, refused, or without meaning.

Every annotation and attribute of AWS is in one of three states, with a reason where it is not
served; a test compares these tables with docs/reference/load-balancers.md.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from monopod.controllers.loadbalancer.annotations import Reader


@dataclass(frozen=True, slots=True)
class Served:
    """It works as on AWS, or as ``note`` describes."""

    note: str
    values: str = ".*"
    """A regular expression of the permitted values."""
    lowest: int | None = None
    highest: int | None = None
    """The limits of a number."""

    def complaint(self, value: str) -> str:
        """Return the fault of a value; empty means that it is valid."""
        if self.lowest is not None and self.highest is not None:
            good = value.isascii() and value.isdigit()
            if not good or not self.lowest <= int(value) <= self.highest:
                return f"{value!r} is not a number from {self.lowest} to {self.highest}"
        elif not re.fullmatch(self.values, value, re.DOTALL):
            return f"{value!r} is invalid: {self.note}"
        return ""


@dataclass(frozen=True, slots=True)
class Refused:
    """It makes an object invalid, unless its value requests the default behaviour."""

    why: str
    unless: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NoMeaning:
    """It is accepted and has no effect."""

    why: str


Meaning = Served | Refused | NoMeaning
OFF: Final = frozenset({"false"})
NONE: Final = frozenset({"none"})


def refuse_others(reader: Reader, meanings: Mapping[str, Meaning], names: Iterable[str]) -> None:
    """Record faults for refused annotations and for those unknown to AWS.

    Args:
        reader: The reader of the annotations.
        meanings: By name; a name that ends with a dot or dash is a prefix.
        names: The annotations to check.
    """
    for name in names:
        match meaning_of(name, meanings):
            case None:
                reader.fault(name, "not supported: AWS's controller has no such annotation")
            case Refused(why, unless) if reader.text(name).lower() not in {"", *unless}:
                reader.fault(name, f"not supported: {why}")
            case _:
                pass


def meaning_of(name: str, meanings: Mapping[str, Meaning]) -> Meaning | None:
    """Return the meaning of a name; None means that it is unknown."""
    if name in meanings:
        return meanings[name]
    for known, meaning in meanings.items():
        if known.endswith((".", "-")) and name.startswith(known):
            return meaning
    return None


def served_attributes(
    reader: Reader, name: str, meanings: Mapping[str, Meaning], what: str
) -> dict[str, str]:
    """Return an annotation's supported attributes, and record faults for the others.

    Args:
        reader: The reader of the annotations.
        name: The annotation, which holds comma-separated ``key=value`` pairs.
        meanings: By attribute name.
        what: The attributes' owner, for messages.
    """
    found: dict[str, str] = {}
    for key, value in reader.pairs(name).items():
        match meaning_of(key, meanings):
            case None:
                reader.fault(name, f"{key} is not supported: {what} has no such attribute")
            case Refused(why, unless) if value.lower() not in unless:
                reader.fault(name, f"{key}={value} is not supported: {why}")
            case Served() as served:
                if complaint := served.complaint(value):
                    reader.fault(name, f"{key}: {complaint}")
                else:
                    found[key] = value
            case _:
                pass
    return found
