"""Results of cases: one line of JSON for each run of a case, so that a run can be resumed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from tests.conformance.cases import chosen, name_of

PASSED: Final = "passed"
SKIPPED: Final = "skipped"
_NOT_ENDED: Final = ("interrupted", "aborted", "timedout")


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one case."""

    case: str
    state: str
    """Ginkgo's: passed, failed, skipped, panicked, timedout, interrupted."""
    seconds: float
    message: str
    """Why it failed, or why it skipped itself."""
    ended: str
    """When, in UTC."""

    @property
    def passed(self) -> bool:
        return self.state == PASSED


def from_report(report: Path) -> Sequence[Result]:
    """Return the results in a report of Ginkgo's, but for cases that it did not let end."""
    return [
        Result(
            name_of(spec),
            spec["State"],
            round(spec["RunTime"] / 1e9, 1),
            _message(spec),
            spec["EndTime"][:19],
        )
        for spec in chosen(report)
        if spec["State"] not in _NOT_ENDED or len(chosen(report)) == 1
    ]


def _message(spec: Mapping[str, Any]) -> str:
    return spec.get("Failure", {}).get("Message", "")


def append(results: Iterable[Result], path: Path) -> None:
    """Add results to a file."""
    with path.open("a") as out:
        for each in results:
            out.write(json.dumps(asdict(each)) + "\n")


def read(path: Path) -> Mapping[str, tuple[Result, ...]]:
    """Return all runs of each case, the first one first."""
    found: dict[str, tuple[Result, ...]] = {}
    if path.exists():
        for line in path.read_text().splitlines():
            result = Result(**json.loads(line))
            found[result.case] = (*found.get(result.case, ()), result)
    return found


def junit(runs: Mapping[str, tuple[Result, ...]], skipped: Mapping[str, str], suite: str) -> str:
    """Return the last result of each case, and the cases that were not run, as JUnit's XML."""
    root = ElementTree.Element("testsuite", name=suite)
    for case, results in sorted(runs.items()):
        last = results[-1]
        entry = ElementTree.SubElement(root, "testcase", name=case, time=str(last.seconds))
        if last.state == SKIPPED:
            ElementTree.SubElement(entry, "skipped", message=last.message)
        elif not last.passed:
            ElementTree.SubElement(entry, "failure", type=last.state).text = last.message
    for case, reason in sorted(skipped.items()):
        entry = ElementTree.SubElement(root, "testcase", name=case, time="0")
        ElementTree.SubElement(entry, "skipped", message=reason)
    cases = list(root)
    root.set("tests", str(len(cases)))
    for name, tag in (("failures", "failure"), ("skipped", "skipped")):
        root.set(name, str(sum(case.find(tag) is not None for case in cases)))
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode") + "\n"
