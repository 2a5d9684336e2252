"""The report on drivers and capacity that ``monopod status`` reads."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from monopod.fargate.sizing import Size
from monopod.node.provider import DriverSelection, report
from monopod.node.provider.directory import MachineDirectory, Reservation
from monopod.node.provider.driver_selection import Candidate
from monopod.node.provider.report import DriverReport, Occupancy, Report
from monopod.settings import Settings

NOW = datetime(2026, 11, 23, 18, 0, 0, tzinfo=UTC)
REPORT = Report(
    Size(8000, 23000),
    [
        DriverReport(Candidate("uml", 1000), "", NOW),
        DriverReport(Candidate("qemu-kvm", 16000, "there is no KVM"), "", NOW),
    ],
)


@pytest.mark.unit
def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert report.read(settings) is None
    report.write(settings, REPORT)
    found = report.read(settings)
    assert found is not None
    assert (found.whole, list(found.drivers)) == (REPORT.whole, REPORT.drivers)
    assert found.automatic == "uml up to 1 vCPU"
    assert [path.name for path in tmp_path.iterdir()] == ["capacity.json"]


@pytest.mark.unit
def test_an_unreadable_report_is_none(tmp_path: Path) -> None:
    (tmp_path / "capacity.json").write_text('{"whole": 3}')
    assert report.read(Settings(home=tmp_path)) is None


@pytest.mark.kernel
def test_what_machines_have_is_counted(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert report.occupancy(settings, REPORT.whole) == Occupancy(0, Size(0, 0), REPORT.whole)
    first = MachineDirectory(settings.machines / "mvm-00000000a1")
    selection = DriverSelection("qemu-tcg", False, "DriverRequested", "it was requested")
    reservation = Reservation(Size(250, 512), selection, overhead_mib=200)
    first.make(reservation, uid=0)
    assert first.reservation() == reservation
    second = MachineDirectory(settings.machines / "mvm-00000000a2")
    # From before drivers were chosen.
    second.path.mkdir()
    (second.path / "promise.json").write_text('{"milli_cpu": 1000, "memory_mib": 2048}')
    uml = DriverSelection("uml", False, "Launched", "runs under uml")
    assert second.reservation() == Reservation(Size(1000, 2048), uml, overhead_mib=96)
    assert report.occupancy(settings, REPORT.whole) == Occupancy(
        2, Size(1250, 2856), Size(6750, 20144)
    )
