"""Upstream's conformance cases: their names as the suite lists them, and which of them apply."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

FOCUS: Final = r"\[Conformance\]"
_SERIAL: Final = "[Serial]"


@dataclass(frozen=True, slots=True)
class Skips:
    """Cases that are not run, for one reason."""

    reason: str
    patterns: tuple[str, ...]
    """Regular expressions, each of which is found in the name of at least one case."""
    drivers: tuple[str, ...] = ()
    """The drivers it holds for; none means all."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: cases that run next to others, cases that run alone, cases that are skipped."""

    parallel: tuple[str, ...]
    serial: tuple[str, ...]
    skipped: Mapping[str, str]
    """Name of a case: the reason."""


def names(report: Path) -> tuple[str, ...]:
    """Return the cases of a report that were chosen, in the suite's order."""
    return tuple(name_of(spec) for spec in chosen(report))


def chosen(report: Path) -> Sequence[Mapping[str, Any]]:
    """Return the specifications of a report of Ginkgo's that were chosen by their names.

    A case that skips itself says why; one that was not chosen does not.
    """
    specs: list[dict[str, Any]] = json.loads(report.read_text())[0]["SpecReports"] or []
    return [
        spec
        for spec in specs
        if spec["LeafNodeType"] == "It"
        and (spec["State"] != "skipped" or spec.get("Failure", {}).get("Message"))
    ]


def name_of(spec: Mapping[str, Any]) -> str:
    """Return the full name of a case, to which the suite's patterns apply."""
    return " ".join((*(spec["ContainerHierarchyTexts"] or ()), spec["LeafNodeText"]))


def pattern(cases: Iterable[str]) -> str:
    """Return a regular expression that finds these cases and no others."""
    return "|".join(f" {re.escape(case)}$" for case in cases)


@cache
def skips() -> tuple[Skips, ...]:
    """Return the skips of ``skips.toml``."""
    text = files("tests.conformance").joinpath("skips.toml").read_text()
    return tuple(
        Skips(each["reason"], tuple(each["cases"]), tuple(each.get("drivers", ())))
        for each in tomllib.loads(text)["skips"]
    )


def plan(cases: Iterable[str], driver: str, skipping: Iterable[Skips]) -> Plan:
    """Decide which cases run on machines of a driver, and how."""
    parallel: list[str] = []
    serial: list[str] = []
    skipped: dict[str, str] = {}
    applying = [each for each in skipping if not each.drivers or driver in each.drivers]
    for case in cases:
        reason = next((each.reason for each in applying if _matches(each, case)), None)
        if reason is not None:
            skipped[case] = reason
        elif _SERIAL in case:
            serial.append(case)
        else:
            parallel.append(case)
    return Plan(tuple(parallel), tuple(serial), skipped)


def _matches(skips: Skips, case: str) -> bool:
    return any(re.search(each, case) for each in skips.patterns)


def batches(cases: Sequence[str], size: int) -> Sequence[tuple[str, ...]]:
    """Part cases into batches of one run of the suite's program each."""
    return [tuple(cases[at : at + size]) for at in range(0, len(cases), size)]
