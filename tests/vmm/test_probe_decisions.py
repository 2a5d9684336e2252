"""What the probe tries, and what it says: decided without KVM."""

from pathlib import Path

import pytest

from monopod.node.vmm import kvm_answer
from monopod.node.vmm.cgroups import Cgroups
from monopod.node.vmm.kvm_answer import Kept, Probe
from monopod.node.vmm.probe import explain, kvm_module, retried_processor
from monopod.node.vmm.qemu import QemuDriver
from monopod.node.vmm.qemu_command import Accelerator, qemu_argv
from monopod.util.cgroups import Hierarchies

pytestmark = pytest.mark.unit

REDUCED = "host,arch-capabilities=off"
REFUSED = "/dev/kvm exists, but QEMU cannot use it: qemu-system-x86_64: error: failed to set MSR "


@pytest.mark.parametrize(
    ("reason", "processor"),
    [
        (f"{REFUSED}0x10a to 0x69", REDUCED),
        (f"{REFUSED}0x10a to 0xa000000000000069", REDUCED),
        (f"{REFUSED}0x10ab to 0x69", ""),
        (f"{REFUSED}0x48e to 0xfff9fffe04006172", ""),
        ("/dev/kvm exists, but a guest that boots in a second did not: timed out", ""),
    ],
)
def test_a_host_that_refuses_one_register_is_tried_without_it(reason: str, processor: str) -> None:
    assert retried_processor(reason, "", None) == processor
    assert retried_processor(reason, "kvm_pvm", Path("/boot/pvm")) == processor
    assert not retried_processor(reason, "kvm_pvm", None)


@pytest.mark.parametrize(
    ("modules", "named"),
    [
        (("kvm", "kvm_pvm"), "kvm_pvm"),
        (("kvm", "kvm_intel"), ""),
        (("kvm", "kvm_amd", "kvm_pvm"), ""),
        ((), ""),
    ],
)
def test_the_module_behind_the_device_is_named_if_it_is_no_hardwares(
    tmp_path: Path, modules: tuple[str, ...], named: str
) -> None:
    for each in modules:
        (tmp_path / each).mkdir()
    assert kvm_module(tmp_path) == named


@pytest.mark.parametrize(
    ("answer", "module", "kernel", "reason"),
    [
        (Probe(works=True, reason="it booted"), "", None, "it booted"),
        (
            Probe(works=True, reason="it booted", processor=REDUCED),
            "kvm_pvm",
            Path("/boot/pvm"),
            f"it booted; with processor {REDUCED}, as the host refuses MSR 0x10a; with kernel"
            " /boot/pvm; by kvm_pvm, without hardware virtualisation",
        ),
        (
            Probe(works=False, reason="it hung", processor=REDUCED),
            "kvm_pvm",
            None,
            f"it hung; with processor {REDUCED}, as the host refuses MSR 0x10a; behind /dev/kvm is"
            " kvm_pvm, which runs only kernels that are built for it: name one with"
            " MONOPOD_LOCAL_KVM_KERNEL",
        ),
        (
            Probe(works=False, reason="it hung"),
            "kvm_pvm",
            Path("/boot/pvm"),
            "it hung; with kernel /boot/pvm; behind /dev/kvm is kvm_pvm, which runs only kernels"
            " that are built for it",
        ),
    ],
)
def test_a_reason_names_all_that_it_depends_on(
    answer: Probe, module: str, kernel: Path | None, reason: str
) -> None:
    assert explain(answer, module, kernel) == reason


def test_where_no_kernel_can_be_named_none_is_asked_for() -> None:
    answer = Probe(works=False, reason="it does not boot")
    shown = explain(answer, "kvm_pvm", None, may_name_kernel=False)
    assert shown.endswith("runs only kernels that are built for it")


def test_a_device_in_another_place_is_named_to_qemu() -> None:
    command = qemu_argv(Accelerator.KVM, 1, 128, None, device=Path("/devices/kvm"))
    assert command[command.index("-accel") + 1] == "kvm,device=/devices/kvm"
    command = qemu_argv(Accelerator.KVM, 1, 128, None)
    assert command[command.index("-accel") + 1] == "kvm"


def test_machines_get_the_processor_that_was_seen_to_work(tmp_path: Path) -> None:
    kvm, tcg = (
        QemuDriver(
            each,
            kernel=tmp_path,
            runtime=tmp_path,
            cgroups=Cgroups(Hierarchies.of_this_host(), "monopod-unused"),
            console_of=Path,
        )
        for each in (Accelerator.KVM, Accelerator.TCG)
    )
    assert kvm.processor == "host"
    kvm_answer.write(tmp_path, Kept({}, Probe(works=True, reason="", processor=REDUCED)))
    assert kvm.processor == REDUCED
    command = qemu_argv(Accelerator.KVM, 1, 128, None, processor=kvm.processor)
    assert command[command.index("-cpu") + 1] == REDUCED
    assert tcg.processor == "host"
    command = qemu_argv(Accelerator.TCG, 1, 128, None, processor=tcg.processor)
    assert command[command.index("-cpu") + 1] == "max"
