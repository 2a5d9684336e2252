"""The images that Monopod ships: their programs run in a sandbox here."""

import asyncio
import re
import socket
import subprocess
from pathlib import Path

import pytest

from monopod.build.images import build_demo_image, build_test_image
from monopod.build.images.archive import open_archive
from monopod.settings import Settings
from tests.images.conftest import members

pytestmark = pytest.mark.kernel


def _unpack(archive: Path, root: Path) -> Path:
    with open_archive(archive) as opened:
        layer = opened.open(opened.image().blobs[0]).read()
    subprocess.run(["tar", "-x", "-C", root], input=layer, check=True)
    return root


def _inside(root: Path, *command: str, **environment: str) -> str:
    """Run a program in an image's root, without network and privileges."""
    settings = [word for pair in environment.items() for word in ("--setenv", *pair)]
    sandbox = ["bwrap", "--unshare-all", "--clearenv", "--bind", root, "/", "--proc", "/proc"]
    return subprocess.run(
        [*sandbox, "--dev", "/dev", "--setenv", "PATH", "/bin", *settings, *command],
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
    ).stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _unpack(asyncio.run(build_demo_image()), tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _unpack(asyncio.run(build_test_image()), tmp_path_factory.mktemp("test"))


def test_the_demo_page_shows_the_machine(demo: Path) -> None:
    said = _inside(demo, "/www/cgi-bin/index.cgi", NODE_NAME="fargate-ip-192-168-1-2")
    facts = dict(line.split(": ", 1) for line in said.split("\n\n")[1].splitlines())
    assert facts.keys() == {"pod", "node", "address", "boot id", "kernel", "machine"}
    assert facts["node"] == "fargate-ip-192-168-1-2"
    assert facts["boot id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_the_demo_page_is_a_page_for_browsers(demo: Path) -> None:
    said = _inside(demo, "/www/cgi-bin/index.cgi", HTTP_ACCEPT="text/html,*/*", NODE_NAME="<b>&")
    assert said.startswith("Content-Type: text/html")
    assert "<tr><th>node<td>&lt;b>&amp;" in said
    assert re.search(r"<tr><th>boot id<td>[0-9a-f-]{36}", said)


def test_the_demo_serves_and_stops_on_sigterm(demo: Path) -> None:
    script = (
        "ip link set lo up; /bin/serve & server=$!;"
        " until wget -q -O - http://127.0.0.1:8080/; do :; done;"
        " kill -TERM $server; wait $server; echo ended"
    )
    said = _inside(demo, "/bin/sh", "-c", script)
    assert "boot id: " in said
    assert said.endswith("ended\n")


def test_the_probe_echoes_datagrams(tools: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    with (
        subprocess.Popen([tools / "bin" / "probe", "udp-echo", str(port)], stdout=-1) as probe,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        assert probe.stdout is not None
        assert probe.stdout.readline() == b"ready\n"
        client.settimeout(10)
        client.sendto(b"hello", ("127.0.0.1", port))
        assert client.recv(100) == b"hello"
        probe.kill()


def test_the_probe_prints_its_usage(tools: Path) -> None:
    assert _inside(tools, "/bin/sh", "-c", "probe nonsense 2>&1 || echo $?").endswith("\n2\n")


def test_the_probe_allocates_memory(tools: Path) -> None:
    script = (
        "mkfifo /tmp/said; probe hold 40 > /tmp/said & read word < /tmp/said;"
        " grep VmRSS /proc/$!/status; kill $!; rm /tmp/said"
    )
    resident = int(_inside(tools, "/bin/sh", "-c", script).split()[1])
    assert resident > 40 << 10


async def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    settings = Settings(cache=tmp_path)
    again = await build_test_image(settings)
    assert members(again) == members(await build_test_image())
    assert again.read_bytes() == (await build_test_image()).read_bytes()
    assert await build_test_image(settings) == again
