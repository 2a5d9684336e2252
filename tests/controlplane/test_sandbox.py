"""The sandbox: its command line, and what a process in it can see and do."""

import json
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monopod.controlplane import sandbox, seccomp
from monopod.controlplane.monopod_services import python_paths
from monopod.controlplane.service import Service
from monopod.node.net.namespaces import Namespace
from monopod.util import process

UID = 1_399_999_999
_EXECLINE = "/usr/lib/execline/bin"
"""Of ``redirfd``, which run scripts find because execlineb does."""


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    name = f"monopod-test-{secrets.token_hex(3)}"
    made = Namespace.named(name)
    made.create()
    yield name
    made.remove()


def _service(namespace: str, *argv: str, **parts: object) -> Service:
    return Service("probe", argv, uid=UID, namespace=namespace, **parts)  # type: ignore[arg-type]


@pytest.mark.unit
def test_privileges_are_dropped_after_the_file_system_is_set_up() -> None:
    words = sandbox.command(_service("ns", "/bin/true"))
    assert words.index("nsenter") < words.index("bwrap") < words.index("setpriv")
    assert words[-2:] == ("--", "/bin/true")
    assert "--no-new-privs" in words
    assert "--bounding-set=-all" in words


@pytest.mark.unit
def test_only_listed_capabilities_are_retained() -> None:
    words = sandbox.command(_service("ns", "/bin/true", capabilities=("net_admin",)))
    assert "--bounding-set=-all,+net_admin" in words
    assert "--ambient-caps=-all,+net_admin" in words


@pytest.mark.unit
def test_the_parents_of_a_private_directory_are_accessible() -> None:
    words = sandbox.command(_service("ns", "/bin/true", readable=(Path("/a/b/c"),)))
    made = [words[at + 1] for at, word in enumerate(words) if word == "--dir"]
    assert made == ["/etc", "/a", "/a/b"]


@pytest.mark.unit
def test_the_environment_is_exactly_the_listed_one() -> None:
    for confined in (True, False):
        words = sandbox.command(
            _service("ns", "/bin/true", environment={"A": "1"}, confined=confined, notifies=True)
        )
        text = " ".join(words)
        assert "--clearenv" in words if confined else "env -i" in text
        assert ("--setenv NOTIFY_FD 3" if confined else "NOTIFY_FD=3") in text


async def _look(namespace: str, program: str, **parts: object) -> dict[str, object]:
    service = _service(
        namespace, sys.executable, "-c", program, readable=(*python_paths(),), **parts
    )
    return json.loads(await process.run(*sandbox.command(service)))


@pytest.mark.kernel
async def test_a_process_is_unprivileged_and_cannot_change_its_user(namespace: str) -> None:
    seen = await _look(
        namespace,
        """
import json, os
status = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "uid": os.getresuid(), "gid": os.getresgid(), "groups": os.getgroups(),
    "caps": [int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")],
    "nnp": status["NoNewPrivs"],
    "environment": sorted(set(os.environ) - {"PATH", "LC_CTYPE", "PWD"}),
    "processes": [int(name) for name in os.listdir("/proc") if name.isdigit()],
    "links": os.listdir("/proc/sys/net/ipv4/conf"),
}))
""",
    )
    assert seen["uid"] == seen["gid"] == [UID] * 3
    assert seen["groups"] == []
    assert seen["caps"] == [0] * 5
    assert seen["nnp"] == "1"
    assert seen["environment"] == []
    assert max(seen["processes"]) < 10  # type: ignore[type-var]
    assert set(seen["links"]) == {"all", "default", "lo"}  # type: ignore[arg-type]


@pytest.mark.kernel
async def test_a_process_sees_only_its_own_files(namespace: str, tmp_path: Path) -> None:
    mine, other, state = (tmp_path / name for name in ("mine", "other", "state"))
    for directory in (mine, other, state):
        directory.mkdir(mode=0o700)
        (directory / "file").write_text("secret")
    for path in (mine, mine / "file", state):
        os.chown(path, UID, UID)
    program = f"""
import json, os
def attempt(doing):
    try:
        doing()
    except OSError as error:
        return type(error).__name__
    return "done"
def write(path):
    return lambda: open(path, "w").write("x")
print(json.dumps({{
    "mine": open({str(mine / "file")!r}).read(),
    "others": attempt(lambda: open({str(other / "file")!r})),
    "write mine": attempt(write({str(mine / "file")!r})),
    "write state": attempt(write({str(state / "new")!r})),
    "write usr": attempt(write("/usr/x")),
    "write root": attempt(write("/x")),
    "shadow": attempt(lambda: open("/etc/shadow")),
    "home": attempt(lambda: os.listdir("/root/.ssh")),
    "top": sorted(os.listdir("/")),
    "neighbours": os.listdir({str(tmp_path)!r}),
}}))
"""
    service = _service(
        namespace,
        sys.executable,
        "-c",
        program,
        readable=(*python_paths(), mine),
        writable=(state,),
    )
    seen = json.loads(await process.run(*sandbox.command(service)))
    assert seen["mine"] == "secret"
    assert seen["others"] == "FileNotFoundError"
    assert seen["write mine"] == "OSError"
    assert seen["write state"] == "done"
    assert {seen["write usr"], seen["write root"]} == {"OSError"}
    assert {seen["shadow"], seen["home"]} == {"FileNotFoundError"}
    assert sorted(seen["neighbours"]) == ["mine", "state"]
    assert (state / "new").stat().st_uid == UID


@pytest.mark.kernel
async def test_a_listed_capability_works_without_root(namespace: str) -> None:
    program = """
import json, subprocess
done = subprocess.run(["nft", "add table ip probe; list ruleset"], capture_output=True, text=True)
print(json.dumps({"said": done.stdout + done.stderr}))
"""
    seen = await _look(namespace, program, capabilities=("net_admin",))
    assert "table ip probe" in str(seen["said"])
    seen = await _look(namespace, program)
    assert "not permitted" in str(seen["said"])


_CALLS = """
import ctypes, errno, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    found = libc.syscall(number, *arguments)
    return "done" if found >= 0 else errno.errorcode[ctypes.get_errno()]
def attempt(doing):
    try:
        doing()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
child = os.fork()
if child == 0:
    import signal
    signal.pause()
seen = {
    "ptrace": call(101, 16, child, 0, 0),
    "process_vm_readv": call(310, child, 0, 0, 0, 0, 0),
    "personality": call(135, 0x0040000),
    "keyctl": call(250, 0, -2, 1),
    "add_key": call(248, b"user", b"name", b"data", 4, -2),
    "vsock": attempt(lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)),
    "alg": attempt(lambda: socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)),
    "clone3": call(435, 0, 0),
    "unshare": call(272, 0x10000000),
    "inet": attempt(lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM)),
    "unix": attempt(lambda: socket.socketpair()),
    "netlink": attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
}
os.kill(child, 9)
print(json.dumps(seen))
"""


@pytest.mark.kernel
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls")
async def test_a_confined_process_makes_no_call_that_opens_the_kernel(
    namespace: str, tmp_path: Path
) -> None:
    file = tmp_path / "seccomp"
    file.write_bytes(seccomp.program())
    program = (sys.executable, "-c", _CALLS)
    service = _service(namespace, *program, readable=(*python_paths(),))
    allowed = {"inet": "done", "unix": "done", "netlink": "done"}
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:{_EXECLINE}"}
    said = await process.run(*sandbox.command(service, file), env=environment)
    seen = json.loads(said)
    assert seen == {name: "EPERM" for name in seen} | {"clone3": "ENOSYS"} | allowed
    # What an unprivileged process does where nothing refuses it.
    free = json.loads(await process.run(*sandbox.command(service)))
    possible = {name for name, answer in free.items() if answer != seen[name]}
    assert possible >= {"ptrace", "personality", "unshare", "clone3"}
