"""Which devices a host offers, by what the probe found."""

import json
from pathlib import Path

import pytest

from monopod.node.devices import probe
from monopod.node.devices.__main__ import offered
from monopod.node.devices.settings import DeviceSettings
from monopod.node.vmm.kvm_answer import Probe
from monopod.node.vmm.probe import WORD, boot_guest
from monopod.util.process import ProcessError

pytestmark = pytest.mark.unit


def settings(path: Path, **answer: object) -> DeviceSettings:
    file = path / "kvm.json"
    file.write_text(json.dumps({"reason": "because", **answer}))
    return DeviceSettings(answer=file)


def test_kvm_is_offered_where_a_guest_has_booted(tmp_path: Path) -> None:
    found = {each.resource: each for each in offered(settings(tmp_path, works=True, processor="x"))}
    assert set(found) == {"monopod.dev/kvm", "monopod.dev/tun"}
    assert found["monopod.dev/kvm"].environment == {"MONOPOD_KVM_PROCESSOR": "x"}


def test_a_device_that_does_not_work_is_not_offered(tmp_path: Path) -> None:
    found = [each.resource for each in offered(settings(tmp_path, works=False))]
    assert found == ["monopod.dev/tun"]


async def test_a_guest_that_prints_its_word_is_the_proof() -> None:
    commands: list[list[str]] = []

    async def run(command: object) -> str:
        assert isinstance(command, list)
        commands.append([str(each) for each in command])
        return f"...\n{WORD}\n"

    answer = await boot_guest(run, "10.0")
    assert answer.works
    assert "QEMU 10.0" in answer.reason
    assert "kvm" in commands[0]


async def test_a_host_without_the_device_says_so() -> None:
    async def run(command: object) -> str:
        raise FileNotFoundError(str(command))

    answer = await boot_guest(run, "10.0")
    assert not answer.works
    assert answer.reason.startswith("this host has no /dev/kvm")


def test_the_answer_is_written_also_if_qemu_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(*_: object, **__: object) -> str:
        raise ProcessError("setpriv", 127, "", "no such program")

    monkeypatch.setattr("monopod.util.process.run", refuse)
    monkeypatch.setenv("MONOPOD_DEVICES_ANSWER", str(tmp_path / "kvm.json"))
    assert probe.main() == 0
    assert "KVM does not work" in capsys.readouterr().out
    answer = Probe(**json.loads((tmp_path / "kvm.json").read_bytes()))
    assert not answer.works
