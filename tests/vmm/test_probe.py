"""Whether KVM works is checked quickly, explained, and cached for this host."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monopod.controlplane import monopod_services
from monopod.controlplane.layout import Layout
from monopod.node.vmm import probe
from monopod.node.vmm.jail import setpriv_argv
from monopod.node.vmm.launcher import UNUSED_UID, Launcher, VmmProgram
from monopod.node.vmm.probe import Probe, probe_kvm
from monopod.node.vmm.qemu_command import Accelerator
from monopod.settings import Settings
from monopod.util.process import ProcessError, run
from tests.vmm.conftest import Bench

pytestmark = pytest.mark.kernel

_TIMES_OUT = """
import asyncio, sys
from monopod.util.process import ProcessError, run
try:
    asyncio.run(run(*sys.argv[1:], timeout_s=0.3))
except ProcessError as error:
    print(error.stderr)
"""


async def test_the_answer_is_true_quick_and_leaves_nothing(bench: Bench) -> None:
    """On any host: one with KVM, one without, and one whose device node lies."""
    driver = bench.qemu(Accelerator.KVM)
    began = time.monotonic()
    answer = await probe_kvm(driver)
    took_s = time.monotonic() - began
    began = time.monotonic()
    await driver.version()
    # A QEMU that only prints its version shows how busy the host is.
    assert took_s < 10 + max(5, 20 * (time.monotonic() - began))
    print(answer)
    assert answer.reason
    if not answer.works:
        assert "/dev/kvm" in answer.reason
    assert not list(driver.runtime.glob(".kvm*"))
    assert bench.cgroups.names() == []


async def test_the_answer_is_kept_until_the_host_is_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = bench.qemu(Accelerator.KVM)
    await probe_kvm(driver)
    kept = driver.runtime / ".probe.json"
    content = json.loads(kept.read_bytes())
    content["answer"] = {"works": True, "reason": "remembered"}
    kept.write_text(json.dumps(content))
    assert await probe_kvm(driver) == Probe(works=True, reason="remembered")
    content["identity"]["boot"] = "another"
    kept.write_text(json.dumps(content))
    assert (await probe_kvm(driver)).reason != "remembered"
    kept.write_text("{")
    assert (await probe_kvm(driver)).reason != "remembered"
    monkeypatch.setattr(probe, "_KVM", Path("/dev/no-kvm"))
    monkeypatch.setattr("monopod.node.vmm.qemu._KVM", Path("/dev/no-kvm"))
    answer = await probe_kvm(driver)
    assert not answer.works
    assert "has no /dev/no-kvm" in answer.reason


async def test_a_guest_that_stands_still_is_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By translation in KVM's place, which boots, but not in the time given."""
    driver = bench.qemu(Accelerator.KVM)
    slow = replace(driver, accelerator=Accelerator.TCG)
    translated = probe.qemu_argv(Accelerator.TCG, 1, 128, None)

    def in_its_place(*_: object, **__: object) -> list[str]:
        return translated

    monkeypatch.setattr(probe, "qemu_argv", in_its_place)
    answer = await probe_kvm(driver, patience_s=0.5)
    assert not answer.works
    assert "did not: timed out after 0.5 s" in answer.reason
    with pytest.raises(ValueError, match="qemu-tcg"):
        await probe_kvm(slow)
    kept = driver.runtime / ".probe.json"
    kept.unlink()
    assert (await probe_kvm(driver, patience_s=300)).works


async def test_a_host_that_refuses_a_register_gets_guests_without_it(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As QEMU 7.2 ends on such a host."""
    tried: list[str] = []
    run_in_jail = Launcher.run_in_jail

    async def refuse(
        launcher: Launcher, vmm: VmmProgram, command: Sequence[str], *others: Any
    ) -> str:
        if "-cpu" not in command:
            return await run_in_jail(launcher, vmm, command, *others)
        tried.append(command[command.index("-cpu") + 1])
        if len(tried) > 1:
            return f"{probe.WORD}\n"
        said = (
            "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69\nqemu-system-x86_64:"
            " ../../target/i386/kvm/kvm.c:3183: kvm_buf_set_msrs: Assertion `ret =="
            " cpu->kvm_msr_buf->nmsrs' failed.\n"
        )
        raise ProcessError(command, 134, "", said)

    monkeypatch.setattr(Launcher, "run_in_jail", refuse)
    monkeypatch.setattr(probe, "_MODULES", tmp_path)
    driver = bench.qemu(Accelerator.KVM)
    answer = await probe_kvm(driver)
    assert answer.works
    assert "with processor host,arch-capabilities=off, as the host refuses" in answer.reason
    assert tried == ["host", "host,arch-capabilities=off"]
    assert driver.processor == "host,arch-capabilities=off"


async def test_the_controller_can_end_a_guest_that_hangs(tmp_path: Path) -> None:
    """With the capabilities that it has: the guest's jail has another user."""
    settings = Settings(home=tmp_path)
    service = monopod_services.microvm(Layout.of(settings, 0), settings.cache)
    kept = "".join(f",+{name}" for name in service.capabilities)
    said = await run(
        *("setpriv", "--inh-caps=-all", f"--bounding-set=-all{kept}"),
        *(sys.executable, "-c", _TIMES_OUT, *setpriv_argv(UNUSED_UID), "sleep", "60"),
        timeout_s=60,
    )
    assert said == "timed out after 0.3 s\n"
