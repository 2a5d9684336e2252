"""What becomes of a setting that AWS's load balancers have: served, refused, or without meaning.

Every annotation and attribute that AWS knows is in one of three states, with a reason where it is
not served; docs/reference/load-balancers.md has the same tables, which a test holds to these.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from monopod.balancing.annotations import Reader


@dataclass(frozen=True, slots=True)
class Served:
    """It does what it does on AWS, or what ``note`` says."""

    note: str
    values: str = ".*"
    """An expression for the values that it may have."""
    lowest: int | None = None
    highest: int | None = None
    """Limits, if it is a number."""

    def complaint(self, value: str) -> str:
        """Return what is wrong with a value, or nothing."""
        if self.lowest is not None and self.highest is not None:
            good = value.isascii() and value.isdigit()
            if not good or not self.lowest <= int(value) <= self.highest:
                return f"{value!r} is not a number from {self.lowest} to {self.highest}"
        elif not re.fullmatch(self.values, value, re.DOTALL):
            return f"{value!r} is not possible: {self.note}"
        return ""


@dataclass(frozen=True, slots=True)
class Refused:
    """An object that has it is refused, unless its value asks for what is the case anyway."""

    why: str
    unless: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NoMeaning:
    """It may stand there, and changes nothing."""

    why: str


Meaning = Served | Refused | NoMeaning
OFF: Final = frozenset({"false"})
NONE: Final = frozenset({"none"})


def refuse_others(reader: Reader, meanings: Mapping[str, Meaning], names: Iterable[str]) -> None:
    """Find fault with annotations that are refused, and with those that AWS does not know.

    Args:
        reader: Of the annotations.
        meanings: By name; one that ends with a dot or dash is for all names that begin with it.
        names: Of the annotations to look at.
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
    """Return what a name means, or None if it is unknown."""
    if name in meanings:
        return meanings[name]
    for known, meaning in meanings.items():
        if known.endswith((".", "-")) and name.startswith(known):
            return meaning
    return None


def served_attributes(
    reader: Reader, name: str, meanings: Mapping[str, Meaning], what: str
) -> dict[str, str]:
    """Return an annotation's attributes that are served, and find fault with those that cannot be.

    Args:
        reader: Of the annotations.
        name: The annotation, ``key=value`` pairs joined by commas.
        meanings: By the attributes' names.
        what: What these are attributes of.
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
