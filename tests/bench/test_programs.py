"""``bench programs`` without a cluster: what the container prints, ratios, rendering, the pod."""

import json
import subprocess
from importlib.resources import as_file, files

import pytest
from rich.console import Console

from monopod.bench.errors import BenchError
from monopod.bench.phases import Kind, Subject
from monopod.bench.programs import table
from monopod.bench.programs.report import PULL, Measured, ProgramsReport, parse, pull_seconds
from monopod.bench.programs.run import programs_pod
from monopod.bench.report import Host

GVISOR, BASELINE = Subject(Kind.MICROVM, "gvisor"), Subject(Kind.BASELINE)
REPORT = ProgramsReport(
    taken_at="2026-11-30T02:00:00Z",
    host=Host(2, "Some CPU", 24000, "6.18", 0.5),
    image="100.127.0.6:5000/monopod/programs:1",
    image_bytes=200 << 20,
    seconds=10,
    measured=(
        Measured(GVISOR, {PULL: 4.0, "redis_set_per_second": 6_000.0}),
        Measured(BASELINE, {PULL: 2.0, "redis_set_per_second": 40_000.0, "other": 1.0}),
    ),
    notes=("something was not there",),
)

pytestmark = pytest.mark.unit


def test_figures_are_read_once_the_container_is_done() -> None:
    printed = "redis_set_per_second 1234.5\npostgres_write_average_ms 2\n"
    assert parse(printed) is None
    assert parse(f"{printed}done\n") == {
        "redis_set_per_second": 1234.5,
        "postgres_write_average_ms": 2.0,
    }


@pytest.mark.parametrize("line", ["failed: initdb: no space left", "redis_set_per_second", "x y"])
def test_a_failed_program_is_an_error(line: str) -> None:
    with pytest.raises(BenchError):
        parse(f"{line}\n")


@pytest.mark.parametrize(
    ("took", "seconds"),
    [("3.745s", 3.745), ("812ms", 0.812), ("1m2.5s", 62.5), ("950µs", 0.00095)],
)
def test_a_pull_s_length_is_read_from_the_kubelet_s_event(took: str, seconds: float) -> None:
    message = (
        f'Successfully pulled image "100.127.0.6:5000/monopod/programs:1" in {took}'
        f" ({took} including waiting). Image size: 209000000 bytes."
    )
    assert pull_seconds(message) == pytest.approx(seconds)


def test_an_image_that_was_there_took_no_pull() -> None:
    assert pull_seconds('Container image "x" already present on machine') is None


def test_ratios_and_the_document() -> None:
    times = {each.figure: each.times for each in REPORT.ratios}
    assert times == {PULL: 2.0, "redis_set_per_second": 0.15}
    document = json.loads(json.dumps(REPORT.document()))
    assert document["measured"][0]["driver"] == "gvisor"
    assert document["measured"][1]["figures"]["other"] == 1.0


def test_the_table_shows_figures_and_gaps() -> None:
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        console.print(table.render(REPORT))
    cells = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in capture.get().splitlines()
    ]
    assert ["redis set per second", "6,000.00", "0.15", "40,000.00"] in cells
    assert ["other", "not observed", "not observed", "1.00"] in cells
    assert "note: something was not there" in capture.get()


def test_both_kinds_of_pod_have_the_same_limits_and_pull_their_image() -> None:
    for subject in (GVISOR, BASELINE):
        spec = programs_pod("m-0", "ns", subject, "image", 10).spec
        assert spec is not None
        (container,) = spec.containers
        assert container.imagePullPolicy == "Always"
        assert container.args == ["10"]
        assert container.resources is not None
        assert container.resources.limits == {"cpu": "1", "memory": "1Gi"}


def test_the_script_is_a_shell_s() -> None:
    with as_file(files("monopod.bench.programs").joinpath("programs.sh")) as script:
        subprocess.run(["/bin/sh", "-n", script], check=True)
