"""Which of upstream's conformance cases run, on the list of them that is kept here."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.conformance import cases, page, results
from tests.conformance.cases import Plan, Skips

pytestmark = pytest.mark.unit

_LISTED = files("tests.conformance").joinpath("cases.txt").read_text().splitlines()


def test_each_skip_finds_a_case() -> None:
    idle = [
        each
        for skips in cases.skips()
        for each in skips.patterns
        if not any(re.search(each, case) for case in _LISTED)
    ]
    assert not idle


def test_no_case_is_skipped_for_two_reasons() -> None:
    for case in _LISTED:
        reasons = [
            skips.reason
            for skips in cases.skips()
            if not skips.drivers and any(re.search(each, case) for each in skips.patterns)
        ]
        assert len(reasons) < 2, f"{case}: {reasons}"


def test_drivers_of_skips_exist() -> None:
    assert {name for each in cases.skips() for name in each.drivers} <= {"gvisor", "uml"}


def test_serial_cases_run_alone_and_skipped_ones_not_at_all() -> None:
    skipping = (Skips("no hosts", ("host",)), Skips("no forks", ("fork",), ("uml",)))
    listed = ("a host", "b fork", "c [Serial]", "d")
    assert cases.plan(listed, "gvisor", skipping) == Plan(
        ("b fork", "d"), ("c [Serial]",), {"a host": "no hosts"}
    )
    assert cases.plan(listed, "uml", skipping).skipped == {
        "a host": "no hosts",
        "b fork": "no forks",
    }


def test_a_pattern_finds_its_cases_and_no_others() -> None:
    """Several names of upstream's begin with another's; all have characters that patterns use."""
    for batch in cases.batches(_LISTED, 8):
        found = re.compile(cases.pattern(batch))
        chosen = [case for case in _LISTED if found.search(f"Kubernetes e2e suite {case}")]
        assert chosen == list(batch)


def _result(case: str, state: str, message: str = "") -> results.Result:
    return results.Result(case, state, 1.2, message, "2026-11-30T09:00:00")


def _report(path: Path, *specs: tuple[str, str, str]) -> Path:
    described: list[dict[str, Any]] = [
        {
            "ContainerHierarchyTexts": ["[sig-x]", "Pods"],
            "LeafNodeType": "It",
            "LeafNodeText": text,
            "State": state,
            "RunTime": 1_250_000_000,
            "EndTime": "2026-11-30T09:00:00.5Z",
            "Failure": {"Message": message},
        }
        for text, state, message in specs
    ]
    path.write_text(json.dumps([{"SpecReports": described}]))
    return path


def test_a_report_holds_what_was_chosen_and_ended(tmp_path: Path) -> None:
    report = _report(
        tmp_path / "report",
        ("runs", "passed", ""),
        ("breaks", "failed", "no"),
        ("skips itself", "skipped", "needs two nodes"),
        ("is not chosen", "skipped", ""),
        ("is cut off", "interrupted", "timeout"),
    )
    assert [(each.case, each.state) for each in results.from_report(report)] == [
        ("[sig-x] Pods runs", "passed"),
        ("[sig-x] Pods breaks", "failed"),
        ("[sig-x] Pods skips itself", "skipped"),
    ]


def test_results_are_kept_over_runs(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    first, second = (_result("a", state) for state in ("failed", "passed"))
    assert results.read(path) == {}
    results.append([first], path)
    results.append([second], path)
    assert results.read(path) == {"a": (first, second)}


def test_junit_has_every_case_once() -> None:
    runs = {
        "a": (_result("a", "failed", "no"), _result("a", "passed")),
        "b": (_result("b", "failed", "<no>"),),
        "c": (_result("c", "skipped", "two nodes"),),
    }
    text = results.junit(runs, {"d": "no hosts"}, "conformance")
    root = ElementTree.fromstring(text)  # noqa: S314 - it is ours
    assert [case.get("name") for case in root] == ["a", "b", "c", "d"]
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("4", "1", "2")
    assert [case.findtext("failure") for case in root] == [None, "<no>", None, None]


def test_a_table_counts_each_case_once() -> None:
    runs = {
        "[sig-a] x [Conformance]": (_result("x", "failed"), _result("x", "passed")),
        "[sig-a] y": (_result("y", "failed"),),
        "[sig-b] z": (_result("z", "panicked"),),
        "[sig-b] itself": (_result("itself", "skipped"),),
    }
    listed = [*runs, "[sig-b] out", "[sig-b] later"]
    outcome = page.Outcome("gvisor", runs, {"[sig-b] out": "no hosts"})
    table = page.summary(listed, [outcome]).splitlines()
    assert table[2:] == [
        "| gvisor | sig-a | 2 | 1 | 1 | 0 | 0 |",
        "| gvisor | sig-b | 4 | 0 | 1 | 2 | 1 |",
        "| gvisor | **all** | 6 | 1 | 2 | 2 | 1 |",
    ]
    assert outcome.of("[sig-a] x [Conformance]") == "passed in run 2"
    assert page.every_case(listed, [outcome]).splitlines()[2] == (
        "| `[sig-a] x` | passed in run 2, 1 s |"
    )
    assert "no hosts | 1: `[sig-b] out` |" in page.skipped(listed, outcome)
