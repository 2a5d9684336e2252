"""kill -9 of system services in a pod's machine: they restart, and the pod keeps running.

The way in is a pod that sees its machine's processes. The scheduler refuses such pods and
asks for no machine, so the test asks for it, as only an administrator can.
"""

import contextlib

import pytest
import pytest_asyncio

from monopod.util import process
from tests.e2e.cluster import Namespace, ask_for_machine, pod
from tests.framework.eventually import eventually

pytestmark = pytest.mark.e2e

_POD = "inside"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def inside(namespace: Namespace, image: str) -> Namespace:
    """A namespace with a running pod that sees its machine's processes."""
    await namespace.apply(pod(_POD, image, hostPID=True))
    await ask_for_machine(namespace, _POD)
    await namespace.ready(_POD, timeout_s=240)
    return namespace


async def _pid(namespace: Namespace, program: str) -> int:
    """The program's number in the machine, as soon as it can be asked for."""
    said = await eventually(
        lambda: namespace.sh(_POD, f"pidof {program}"),
        f"{program} runs",
        errors=(process.ProcessError,),
        every_s=0.2,
    )
    return int(said)


async def _kill(namespace: Namespace, program: str) -> int:
    """Kill it; returns its successor's number, once the pod can be reached again."""
    killed = await _pid(namespace, program)
    # The exec connection may run through the process that it kills.
    with contextlib.suppress(process.ProcessError):
        await namespace.sh(_POD, f"kill -9 {killed}")

    async def successor() -> int | None:
        found = await _pid(namespace, program)
        return None if found == killed else found

    return await eventually(successor, f"another {program} than {killed}", every_s=0.2)


async def _container(namespace: Namespace) -> tuple[str, int, str]:
    """Return a container's id, restart count and start time, which change when it restarts."""
    (status,) = (await namespace.get("pod", _POD))["status"]["containerStatuses"]
    return status["containerID"], status["restartCount"], status["state"]["running"]["startedAt"]


async def _heartbeat(namespace: Namespace) -> tuple[str, str]:
    """When the node's kubelet renewed its lease, and whether the node is Ready."""
    node = (await namespace.get("pod", _POD))["spec"]["nodeName"]
    lease = await namespace.cluster.get("-n", "kube-node-lease", "lease", node)
    conditions = (await namespace.cluster.get("node", node))["status"]["conditions"]
    ready = next(each["status"] for each in conditions if each["type"] == "Ready")
    return lease["spec"]["renewTime"], ready


@pytest.mark.row("S1")
@pytest.mark.parametrize("program", ["kubelet", "containerd"])
async def test_a_pod_keeps_running_when_a_service_of_its_machine_is_killed(
    inside: Namespace, program: str
) -> None:
    container = await _container(inside)
    await inside.sh(_POD, "echo mine >/dev/shm/note")
    renewed, _ = await _heartbeat(inside)

    await _kill(inside, program)

    assert await inside.sh(_POD, "cat /dev/shm/note") == "mine\n"

    async def beats() -> bool:
        heartbeat, ready = await _heartbeat(inside)
        assert (heartbeat > renewed, ready) == (True, "True"), heartbeat
        return True

    await eventually(beats, f"a ready node whose lease is newer than {renewed}", 90, every_s=0.5)
    await inside.ready(_POD)
    assert await _container(inside) == container
