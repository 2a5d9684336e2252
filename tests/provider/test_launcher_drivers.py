"""What launcher pods of each driver need, and which drivers they run."""

import re

import pytest
from pydantic import ValidationError

from monopod.fargate.sizing import Size
from monopod.node.provider import DriverUnavailableError, SizeUnsupportedError
from monopod.node.provider.driver_selection import choose
from monopod.node.provider.launcher_drivers import candidates, needs
from monopod.node.provider.launcher_settings import DRIVERS, LauncherSettings

pytestmark = pytest.mark.unit

SMALL = Size(250, 512)
ALL = LauncherSettings(image="gvisor:1", linux_image="linux:1", drivers=DRIVERS)
HOSTS = "the cluster's hosts"


def chosen(requested: str, drivers: tuple[str, ...] = DRIVERS, milli_cpu: int = 250) -> str:
    settings = LauncherSettings(linux_image="linux:1", drivers=drivers)
    return choose(milli_cpu, requested, tuple(candidates(settings)), host=HOSTS).driver


def test_gvisor_needs_no_device() -> None:
    found = needs("gvisor", SMALL, ALL)
    assert found.image == "gvisor:1"
    assert not found.devices
    assert not found.network_devices
    assert not found.guest_memory_mib


def test_uml_keeps_its_guests_memory_in_a_file() -> None:
    found = needs("uml", SMALL, ALL)
    assert found.image == "linux:1"
    assert 512 < found.guest_memory_mib < found.most_mib
    assert not found.devices
    assert not found.network_devices


@pytest.mark.parametrize(
    ("driver", "devices"), [("qemu-kvm", ("monopod.dev/kvm",)), ("qemu-tcg", ())]
)
def test_qemu_needs_tap_devices_and_kvm_its_own(driver: str, devices: tuple[str, ...]) -> None:
    found = needs(driver, SMALL, ALL)
    assert found.image == "linux:1"
    assert found.devices == devices
    assert found.network_devices == ("monopod.dev/tun",)


def test_without_a_setting_gvisor_runs_all() -> None:
    assert LauncherSettings().drivers == ("gvisor",)
    assert chosen("", ("gvisor",)) == "gvisor"


def test_kvm_is_the_default_where_it_is_allowed() -> None:
    assert chosen("") == "qemu-kvm"
    assert chosen("", ("gvisor", "uml")) == "gvisor"
    assert chosen("linux", ("gvisor", "uml")) == "uml"
    assert chosen("qemu", ("gvisor", "qemu-tcg")) == "qemu-tcg"


def test_a_driver_that_is_not_named_is_refused_with_the_setting() -> None:
    why = "uml cannot be used on the cluster's hosts: launcher pods run gvisor (MONOPOD_LAUNCHER_"
    with pytest.raises(DriverUnavailableError, match=re.escape(why)):
        chosen("uml", ("gvisor",))


def test_a_size_is_refused_for_the_driver() -> None:
    with pytest.raises(SizeUnsupportedError, match="The cluster's hosts cannot run a machine of 2"):
        chosen("uml", milli_cpu=2000)


def test_drivers_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONOPOD_LAUNCHER_DRIVERS", "gvisor, uml")
    monkeypatch.setenv("MONOPOD_LAUNCHER_LINUX_IMAGE", "linux:1")
    assert LauncherSettings().drivers == ("gvisor", "uml")


@pytest.mark.parametrize(
    ("drivers", "why"),
    [
        ("kvm", "kvm is none of gvisor, uml, qemu-tcg, qemu-kvm"),
        ("", "name at least one of gvisor"),
        ("gvisor,uml", "set MONOPOD_LAUNCHER_LINUX_IMAGE"),
    ],
)
def test_a_setting_that_cannot_work_is_named(drivers: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        LauncherSettings.model_validate({"drivers": drivers})
