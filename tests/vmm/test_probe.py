"""Whether KVM works is checked quickly, explained, and cached for this host."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from monopod.node.vmm import probe
from monopod.node.vmm.probe import Probe, probe_kvm
from monopod.node.vmm.qemu_command import Accelerator
from tests.vmm.conftest import Bench

pytestmark = pytest.mark.kernel


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

    def in_its_place(*_: object) -> list[str]:
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
