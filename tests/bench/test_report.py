import dataclasses
import json
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from rich.console import Console

from monopod.bench import table, timeline
from monopod.bench.phases import Kind, Phase, PodTimeline, Subject
from monopod.bench.report import Report
from monopod.bench.statistics import Series
from tests.bench.cases import MICROVM, REPORT, pod_timeline

pytestmark = pytest.mark.unit

SVG = "{http://www.w3.org/2000/svg}"


def with_series(*series: Series) -> Report:
    return dataclasses.replace(REPORT, series=series)


def shown(report: Report) -> str:
    console = Console(width=220, no_color=True)
    with console.capture() as capture:
        console.print(table.render(report))
    return capture.get()


def drawn(report: Report) -> ET.Element:
    return ET.fromstring(timeline.draw(report))  # noqa: S314


def texts(picture: ET.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def bars(picture: ET.Element) -> list[tuple[float, float]]:
    """Start and end of every bar, in pixels."""
    found = [rect for rect in picture.iter(f"{SVG}rect") if rect.get("rx")]
    return [(float(r.attrib["x"]), float(r.attrib["x"]) + float(r.attrib["width"])) for r in found]


def test_json_has_summaries_and_every_start() -> None:
    found = json.loads(json.dumps(REPORT.document()))
    first = found["series"][0]
    assert (first["kind"], first["atOnce"], first["starts"]) == ("microVM", 1, 3)
    assert first["phases"]["booted"]["tookSeconds"] == {"p50": 1.7, "p95": 1.87, "count": 3}
    assert set(found["series"][2]["phases"]) == {"admitted", "bound", "Ready"}
    assert found["ratios"][0]["p50"] == pytest.approx(8.8889)
    assert found["footprints"][0]["disksMiB"] is None
    assert len(found["starts"]) == 10
    assert found["starts"][0]["reachedSeconds"]["Ready"] == 8.0


def test_the_table_shows_phases_ratio_footprint_and_notes() -> None:
    said = shown(REPORT)
    assert "8.9 times as long (p95: 8.1 times), one at a time" in said
    assert "120.2 MiB" in said
    assert "2.5 % of a core" in said
    assert "note: something was not there" in said
    booted = next(line for line in said.splitlines() if "booted" in line)
    assert [cell.strip() for cell in booted.split("│")[2:-1]] == [
        "1.70 / 1.87",
        "6.80 / 8.50",
        "-",
        "-",
    ]


def test_an_unobserved_phase_is_shown_as_such() -> None:
    unseen = Series(
        Subject(Kind.MICROVM, "uml"), 1, (pod_timeline((*MICROVM[:3], None, *MICROVM[4:])),)
    )
    report = with_series(unseen)
    said = shown(report)
    assert "not observed" in next(line for line in said.splitlines() if "booted" in line)
    picture = drawn(report)
    assert "not observed" in texts(picture)
    assert len(bars(picture)) == 6


def test_failures_are_shown() -> None:
    failed = Series(
        Subject(Kind.MICROVM, "uml"),
        1,
        (PodTimeline("bench-1", {Phase.ADMITTED: 0.1}, failure="timed out"),),
    )
    report = with_series(failed)
    assert "microVM, uml, one at a time: bench-1: timed out" in shown(report)
    assert report.document()["series"][0]["failed"] == 1
    assert "microVM, uml, one at a time (0 starts, 1 failed)" in texts(drawn(report))


def test_bars_are_consecutive_and_inside_the_picture() -> None:
    picture = drawn(REPORT)
    width = float(picture.attrib["width"])
    found = bars(picture)
    assert len(found) == 2 * 7 + 2 * 3
    first = found[:7]
    for before, after in pairwise(first):
        assert after[0] <= before[1] + 0.1
    assert all(130 <= begin < end <= width - 190 + 2 for begin, end in found)
    # 8 s of 40 s, on a microVM alone; 0.9 s on the baseline node.
    assert first[-1][1] - 130 == pytest.approx((width - 320) * 8 / 40, abs=1)
    assert found[16][1] - 130 == pytest.approx((width - 320) * 0.9 / 40, abs=1)


def test_names_from_the_host_are_escaped() -> None:
    assert any("Some <CPU> & more" in text for text in texts(drawn(REPORT)))


def test_an_empty_report_renders() -> None:
    empty = dataclasses.replace(REPORT, series=(), footprints=(), notes=())
    assert bars(drawn(empty)) == []
    assert "phase" in shown(empty)
    assert empty.document()["ratios"] == []
