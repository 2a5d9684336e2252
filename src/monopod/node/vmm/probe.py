"""Checks whether KVM works on this host by booting a minimal guest.

``/dev/kvm`` alone is no proof: on some cloud hosts it exists, opens and answers, and guests crash
or hang. So a guest without devices, which only prints a word, boots in the jail of machines; KVM
works if it prints that word.
"""

import asyncio
import os
import platform
import time
from pathlib import Path
from typing import Final

import msgspec

from monopod.node.vmm.driver import VmmError
from monopod.node.vmm.launcher import UNUSED_UID, Launcher
from monopod.node.vmm.qemu import QemuDriver, make_device
from monopod.node.vmm.qemu_command import Accelerator, qemu_argv
from monopod.util import process
from monopod.util.files import write_atomically

WORD: Final = "monopod: probed"
"""The word that the guest prints."""
_KVM: Final = Path("/dev/kvm")
_ANSWER: Final = ".probe.json"
_PATIENCE_S: Final = 10.0
_GUEST_MIB: Final = 128
_SHOWN_CHARS: Final = 300


class Probe(msgspec.Struct, frozen=True):
    """The result of a probe."""

    works: bool
    reason: str
    """Why it works or does not, for users."""
    at: float = 0.0
    """Time of the probe in seconds of Unix time."""


class _Kept(msgspec.Struct):
    """A stored result, with the identity of the host that it is valid for."""

    identity: dict[str, str]
    answer: Probe


async def probe_kvm(driver: QemuDriver, patience_s: float = _PATIENCE_S) -> Probe:
    """Determine whether machines can run under KVM on this host; takes seconds unless cached.

    The result is cached in the driver's runtime directory until the host reboots, or its processor,
    kernel, QEMU or the guest's kernel change.

    Args:
        driver: The KVM driver.
        patience_s: Seconds for the guest to boot and exit; it normally takes less than one.

    Raises:
        VmmError: QEMU is missing, too old, or does not run in a jail; or no device can be made.
    """
    if driver.accelerator is not Accelerator.KVM:
        raise ValueError(f"{driver.name} is no driver for KVM")
    version = await driver.version()
    identity = await asyncio.to_thread(_identity, driver, version)
    kept = driver.runtime / _ANSWER
    known = await asyncio.to_thread(_read, kept)
    if known is not None and known.identity == identity:
        return known.answer
    answer = msgspec.structs.replace(await _boot(driver, version, patience_s), at=time.time())
    content = msgspec.json.encode(_Kept(identity, answer))
    await asyncio.to_thread(write_atomically, kept, content, mode=0o644)
    return answer


async def _boot(driver: QemuDriver, version: str, patience_s: float) -> Probe:
    node = driver.runtime / f".kvm.{os.getpid()}"
    try:
        await asyncio.to_thread(make_device, node, UNUSED_UID)
    except FileNotFoundError:
        why = "its processor has no virtualisation, or the module kvm is not loaded"
        return Probe(works=False, reason=f"this host has no {_KVM}: {why}")
    except OSError as error:
        # A failure of this process and not of the host, so it is not cached.
        raise VmmError(f"no device for a jail can be made: {error}") from error
    command = qemu_argv(Accelerator.KVM, 1, _GUEST_MIB, None)
    launcher = Launcher(driver.cgroups, driver.console_of)
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        printed = await launcher.run_in_jail(driver.vmm(node), command, patience_s)
    except process.ProcessError as error:
        return _of_failure(error)
    finally:
        node.unlink(missing_ok=True)
    if WORD in printed:
        took = f"{loop.time() - began:.1f} s"
        return Probe(works=True, reason=f"a guest booted and ended under QEMU {version} in {took}")
    last = ([line for line in printed.splitlines() if line.strip()] or ["nothing"])[-1]
    reason = f"{_KVM} exists, but a guest exited before it ran; its last output: {last}"
    return Probe(works=False, reason=reason[:_SHOWN_CHARS])


def _of_failure(error: process.ProcessError) -> Probe:
    if error.returncode is None:
        reason = f"{_KVM} exists, but a guest that boots in a second did not: {error.stderr}"
        return Probe(works=False, reason=reason)
    said = (error.stderr.strip() or error.stdout.strip() or "nothing").splitlines()
    # QEMU's first line is the cause; the others are consequences.
    reason = f"{_KVM} exists, but QEMU cannot use it: {said[0].strip()}"
    return Probe(works=False, reason=reason[:_SHOWN_CHARS])


def _identity(driver: QemuDriver, version: str) -> dict[str, str]:
    models = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    kernel = (driver.kernel / "kernel").stat()
    return {
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "processor": next(models, platform.machine()),
        "kernel": platform.release(),
        "device": "present" if _KVM.exists() else "absent",
        "qemu": version,
        "guest": f"{kernel.st_size} {kernel.st_mtime_ns}",
    }


def _read(path: Path) -> _Kept | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
