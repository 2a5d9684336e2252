"""Writes the tables of docs/reference/conformance.md from the results of runs."""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.conformance import cases, results
from tests.conformance.results import Result

FAILED: Final = ("failed", "panicked", "timedout")
"""Ginkgo's words for cases that did not pass."""
_TAGS: Final = re.compile(r" \[(?:Conformance|NodeConformance|LinuxOnly|Serial|Slow)\]")
_GROUP: Final = re.compile(r"\[(sig-[a-z-]+)\]")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one driver's runs gave."""

    driver: str
    runs: Mapping[str, tuple[Result, ...]]
    skipped: Mapping[str, str]
    """Name of a case that was not run: the reason."""

    def of(self, case: str) -> str:
        """Return one word for a case."""
        runs = self.runs.get(case, ())
        if case in self.skipped:
            return "skipped"
        if not runs:
            return "not run"
        passed = next((number for number, run in enumerate(runs, 1) if run.passed), 0)
        if passed:
            return "passed" if passed == 1 else f"passed in run {passed}"
        return runs[-1].state


def summary(listed: Sequence[str], outcomes: Iterable[Outcome]) -> str:
    """Return a table of numbers by group of cases, and a line for all of them."""
    rows = ["| driver | group | cases | passed | failed | skipped | not run |"]
    rows.append("|---|---|---|---|---|---|---|")
    for outcome in outcomes:
        groups: dict[str, list[str]] = {}
        for case in listed:
            groups.setdefault(_group(case), []).append(case)
        for group, members in (*sorted(groups.items()), ("**all**", list(listed))):
            words = [_column(outcome.of(case)) for case in members]
            numbers = (len(members), *map(words.count, ("passed", "failed", "skipped", "not run")))
            rows.append(f"| {outcome.driver} | {group} | " + " | ".join(map(str, numbers)) + " |")
    return "\n".join(rows)


def _column(word: str) -> str:
    if word.startswith(results.PASSED):
        return results.PASSED
    return "failed" if word in FAILED else word


def _group(case: str) -> str:
    found = _GROUP.search(case)
    return found[1] if found else "other"


def skipped(listed: Sequence[str], outcome: Outcome) -> str:
    """Return a table of the reasons why cases are not run, with the cases."""
    rows = ["| reason | cases |", "|---|---|"]
    for reason in dict.fromkeys(outcome.skipped.values()):
        names = [short(case) for case in listed if outcome.skipped.get(case) == reason]
        rows.append(f"| {reason} | {len(names)}: {'; '.join(names)} |")
    return "\n".join(rows)


def every_case(listed: Sequence[str], outcomes: Sequence[Outcome]) -> str:
    """Return a table of all cases that were run, with seconds of the last run."""
    rows = ["| case | " + " | ".join(each.driver for each in outcomes) + " |"]
    rows.append("|---|" + "---|" * len(outcomes))
    for case in listed:
        words = [_with_seconds(each, case) for each in outcomes]
        rows.append(f"| {short(case)} | " + " | ".join(words) + " |")
    return "\n".join(rows)


def _with_seconds(outcome: Outcome, case: str) -> str:
    word, runs = outcome.of(case), outcome.runs.get(case, ())
    return f"{word}, {runs[-1].seconds:.0f} s" if runs and word != "skipped" else word


def short(case: str) -> str:
    """Return a case's name as code, without the labels that most of them have."""
    return "`" + _TAGS.sub("", case).replace("|", r"\|").replace("`", "'") + "`"


def main() -> None:
    """Print the tables for the results in a directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="the directory with a directory a driver")
    directory: Path = parser.parse_args().results
    outcomes: list[Outcome] = []
    listed: Sequence[str] = ()
    for path in sorted(directory.glob("*/results.jsonl")):
        listed = sorted(cases.names(path.with_name("list.json")))
        plan = cases.plan(listed, path.parent.name, cases.skips())
        outcomes.append(Outcome(path.parent.name, results.read(path), plan.skipped))
    print(summary(listed, outcomes), end="\n\n")
    for outcome in outcomes:
        print(skipped(listed, outcome), end="\n\n")
    print(every_case(listed, outcomes))


if __name__ == "__main__":
    main()
