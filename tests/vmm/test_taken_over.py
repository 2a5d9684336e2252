"""A VMM that a guest has taken over: another program in its place looks for a way out."""

import asyncio
import re
import shutil
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from uuid import uuid4

import pytest

from monopod.node.net.links import Links, machine_links
from monopod.node.net.namespaces import Namespace
from monopod.node.vmm import uml
from monopod.node.vmm.qemu_command import Accelerator
from tests.vmm.conftest import Bench, scripted

pytestmark = pytest.mark.kernel

_SOURCE = Path(__file__).with_name("taken_over.c")
_ABSTRACT = "\0monopod-test-taken-over"


@pytest.fixture(scope="module")
def intruder() -> Iterator[Path]:
    """The program, which needs nothing that is not in itself."""
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory, "intruder")
        subprocess.run(["gcc", "-static", "-O1", "-o", made, _SOURCE], check=True)
        yield made


@pytest.fixture
async def links() -> AsyncIterator[Links]:
    """A router with nothing but links."""
    name = f"monopod-test-{uuid4().hex[:6]}"
    router, ports = Namespace.named(f"{name}-router"), Namespace.named(f"{name}-ports")
    for each in (router, ports):
        each.create()
    try:
        async with Links(router, ports) as made:
            yield made
    finally:
        for each in (router, ports):
            each.remove()


@dataclass(frozen=True)
class Report:
    """What the program said."""

    lines: tuple[str, ...]

    def after(self, word: str) -> list[str]:
        return [line.removeprefix(f"{word} ") for line in self.lines if line.startswith(f"{word} ")]

    def descriptors(self) -> Counter[str]:
        """Kinds and accesses of those that it was given, without standard streams."""
        found = (line.split(" ", 1) for line in self.after("fd"))
        return Counter(what for number, what in found if int(number) > 2)


async def _report(bench: Bench, kind: str, intruder: Path, links: Links, ends: ExitStack) -> Report:
    uml, gvisor, qemu = bench.driver(), bench.gvisor(), bench.qemu(Accelerator.TCG)
    driver = {"uml": uml, "gvisor": gvisor, "qemu": qemu}[kind]
    place = {"uml": "linux", "gvisor": "runsc", "qemu": "usr/bin/qemu-system-x86_64"}[kind]
    await driver.prepare()
    program = driver.runtime / place
    # A new file: the published one is another name of the cache's.
    program.unlink()
    shutil.copy(intruder, program)
    launches: list[asyncio.Task[None]] = []
    for number, name in enumerate(("mvm-neighbour", "mvm-one")):
        addresses = IPv4Address(f"100.64.9.{number}"), IPv4Address(f"192.168.9.{number}")
        opened: list[int] = []
        for link in machine_links(name, *addresses, driver.link_kind):
            await links.ensure(link)
            opened.append(ends.enter_context(await links.open(link)).fileno())
        machine = await bench.machine(name, scripted("secret"))
        # A launch may wait for an answer that this program never gives.
        launches.append(asyncio.create_task(driver.launch(machine, opened)))
    await bench.printed("mvm-one", "that is all")
    text = (bench.console_of("mvm-one") / "current").read_text()
    for launch in launches:
        launch.cancel()
    await asyncio.gather(*launches, return_exceptions=True)
    return Report(tuple(re.sub(r"^\S+ \S+  ", "", line) for line in text.splitlines()))


@pytest.mark.row("S5")
@pytest.mark.row("S17")
@pytest.mark.parametrize("kind", ["uml", "gvisor", "qemu"])
async def test_it_sees_and_reaches_nothing_but_its_own(
    bench: Bench, kind: str, intruder: Path, links: Links
) -> None:
    with socket.socket(socket.AF_UNIX) as listening, ExitStack() as ends:
        listening.bind(_ABSTRACT)
        listening.listen()
        report = await _report(bench, kind, intruder, links, ends)
    print("\n".join(report.lines))
    assert report.after("host") == ["machine"]
    own = [f"LD_PRELOAD=/{uml.REGISTERS}"] if kind == "uml" else []
    assert set(report.after("environment")) - {"PWD=/"} == set(own)
    assert report.after("dumpable") == ["1 new-privileges 0"]
    # Sockets of other families, other users, namespaces, mounts, devices, and every change of the
    # link that a descriptor allows without asking who holds it.
    sentrys = {"set option 263 18"} if kind == "gvisor" else set[str]()
    assert set(report.after("may")) <= sentrys
    # The jail's own first process, which waits for this one.
    assert report.after("process") == ["1"]
    _check_files(report, kind)
    _check_descriptors(report, kind)


def _check_files(report: Report, kind: str) -> None:
    root = {
        "uml": ("/linux", "/registers.so", "/lib/", "/lib64/", "/proc/cpuinfo"),
        "gvisor": ("/runsc", "/proc/cpuinfo", "/proc/sys/vm/mmap_min_addr"),
        "qemu": ("/usr/", "/lib/", "/lib64/", "/firmware/", "/kernel", "/initramfs"),
    }[kind]
    read = [line.split(" ", 1)[1] for line in report.after("file") if line.startswith("read ")]
    assert read
    assert [path for path in read if not path.startswith(root)] == []
    others = [line for line in report.after("file") if not line.startswith("read ")]
    assert others == ["create /dev/shm"]


def _check_descriptors(report: Report, kind: str) -> None:
    found = report.descriptors()
    disks = {"disk read": 2, "disk both": 1}
    if kind == "uml":
        # Its pod's link once for each sandbox that the pod may have.
        assert found == Counter({**disks, "socket both": 1 + 8})
        # Its own link; the loopback interface is the namespace's.
        assert set(report.after("interfaces")) <= {"1", "2"}
    elif kind == "gvisor":
        # The specification, null for what it has no use of, and the socket of its launch; its link
        # comes by that socket.
        own = {"disk both": 2, "device write": 2, "socket both": 1}
        assert found == Counter({**disks, **own})
        assert report.after("interfaces") == []
    else:
        assert found == Counter({**disks, "device both": 2, "socket both": 1})
        assert report.after("interfaces") == []
    # It cannot reopen the root image, which it has read-only, for writing.
    assert "root" not in report.after("reopened")
