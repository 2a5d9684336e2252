from pathlib import Path

import pytest

from monopod.cluster import own
from monopod.cluster.layout import Layout
from monopod.settings import Settings

LAYOUT = Layout.of(Settings(home=Path("/var/lib/monopod")), 7)


def test_each_process_is_told_its_own_settings_and_no_other_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MONOPOD_ADMISSION_MODE", "enforce")
    monkeypatch.setenv("MONOPOD_MACHINES_IMAGE", "/elsewhere")
    every = {each.name: each.environment for each in own.services(LAYOUT, Path("/image"))}
    assert every["admission"]["MONOPOD_ADMISSION_MODE"] == "enforce"
    assert [name for name in every if "MONOPOD_ADMISSION_MODE" in every[name]] == ["admission"]
    assert every["machines"]["MONOPOD_MACHINES_IMAGE"] == "/image", "ours is not to be overridden"
