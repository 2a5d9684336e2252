"""What ``monopod patch start`` understands."""

import pytest
import typer

from monopod.api.patch_campaigns import PatchWindow
from monopod.cli import patch

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("2026-11-24", "2026-11-24T00:00:00.000000Z"),
        ("2026-11-24T10:00:00+02:00", "2026-11-24T08:00:00.000000Z"),
    ],
)
def test_times(text: str, expected: str) -> None:
    assert patch._time(text) == expected  # pyright: ignore[reportPrivateUsage]


def test_windows() -> None:
    read = patch._window  # pyright: ignore[reportPrivateUsage]
    assert read("") is None
    assert read("Sat,Sun 02:00 4h") == PatchWindow(["Sat", "Sun"], "02:00", "4h", "UTC")
    expected = PatchWindow(["Mon"], "23:30", "90m", "Europe/Berlin")
    assert read("Mon 23:30 90m Europe/Berlin") == expected
    for bad in ("Sat", "Sat 2:00 4h", "Sat 02:00"):
        with pytest.raises(typer.BadParameter, match="--window"):
            read(bad)
    with pytest.raises(typer.BadParameter, match="--before"):
        patch._time("tomorrow")  # pyright: ignore[reportPrivateUsage]
