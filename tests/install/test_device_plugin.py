"""The device plug-in of an installation."""

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from monopod.cli import install
from monopod.install.devices import plugin
from monopod.install.installation import installation
from monopod.install.values import ALL_DRIVERS, Values

pytestmark = pytest.mark.unit

_WIDE = {"NO_COLOR": "1", "COLUMNS": "200"}
WITH_QEMU = Values("controllers:1", "launcher:1", "linux:1", "gvisor,qemu-kvm")


def _spec() -> dict[str, Any]:
    return plugin(WITH_QEMU)["spec"]["template"]["spec"]


@pytest.mark.row("S17")
def test_what_stays_on_a_host_has_one_capability_and_no_token() -> None:
    spec = _spec()
    (container,) = spec["containers"]
    context = container["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["MKNOD"]}
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    paths = {each["hostPath"]["path"] for each in spec["volumes"] if "hostPath" in each}
    assert paths == {"/var/lib/kubelet/device-plugins", "/var/lib/monopod-devices"}


@pytest.mark.row("S17")
def test_the_privileged_container_ends_before_and_has_no_path_of_the_host() -> None:
    spec = _spec()
    (probe,) = spec["initContainers"]
    assert probe["securityContext"]["privileged"] is True
    assert "restartPolicy" not in probe
    assert [each["name"] for each in probe["volumeMounts"]] == ["answer"]


@pytest.mark.parametrize("drivers", ["gvisor", "gvisor,uml"])
def test_without_qemu_nothing_is_on_a_host(drivers: str) -> None:
    made = installation(Values("controllers:1", "launcher:1", "linux:1", drivers))
    assert not made.devices
    assert all(each["kind"] != "DaemonSet" for each in made.every)


def test_an_uninstallation_removes_what_any_installation_has() -> None:
    made = installation(Values("", "", drivers=ALL_DRIVERS))
    kinds = [(each["kind"], each["metadata"]["name"]) for each in made.devices]
    assert kinds == [("Namespace", "monopod-devices"), ("DaemonSet", "monopod-devices")]


def test_the_command_names_what_is_missing_for_a_driver() -> None:
    app = typer.Typer()
    install.register(app)
    images = ("--controllers-image", "a", "--launcher-image", "b")
    for drivers, why in (
        ("gvisor,uml", "name --launcher-linux-image"),
        ("kvm", "kvm is none of gvisor"),
    ):
        refused = CliRunner().invoke(app, [*images, "--drivers", drivers], env=_WIDE)
        assert refused.exit_code == 2
        assert why in refused.output
    more = ("--launcher-linux-image", "c", "--drivers", "gvisor, qemu-kvm", "--dry-run")
    shown = CliRunner().invoke(app, [*images, *more])
    assert shown.exit_code == 0
    assert "kind: DaemonSet" in shown.output
    assert "gvisor,qemu-kvm" in shown.output
