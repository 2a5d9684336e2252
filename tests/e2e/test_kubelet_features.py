"""Kubelet features, each tested once on a real machine.

The list follows Kata's own checklist of what a VM pod must do (peers.md §3.4). Pods are few and
carry several features each, since every pod is a machine.
"""

import asyncio
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from monopod.util.process import ProcessError
from tests.e2e.cluster import Namespace, pod
from tests.framework.eventually import eventually

pytestmark = pytest.mark.e2e

_SERVE = "mkdir -p /www && echo hello-from-pod > /www/index.html && httpd -f -p 8080 -h /www"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def work(namespace: Namespace, image: str) -> str:
    """One pod with an init container, a native sidecar, every volume kind and hooks."""
    await namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings"},
            "data": {"colour": "green"},
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "password"},
            "stringData": {"word": "first"},
        },
        pod(
            "work",
            image,
            "echo started; cat /init/note; " + _SERVE,
            labels={"tier": "front"},
            initContainers=[
                {
                    "name": "first",
                    "image": image,
                    "command": ["sh", "-c", "echo from-init > /init/note"],
                    "volumeMounts": [{"name": "init", "mountPath": "/init"}],
                },
                {
                    "name": "sidecar",
                    "image": image,
                    "restartPolicy": "Always",
                    "command": ["sh", "-c", "echo sidecar-up; exec sleep infinity"],
                    "startupProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1},
                },
            ],
            container={
                "env": [
                    {
                        "name": "POD_IP",
                        "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}},
                    },
                    {
                        "name": "CPU_LIMIT",
                        "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}},
                    },
                ],
                "readinessProbe": {
                    "httpGet": {"port": 8080, "path": "/"},
                    "periodSeconds": 1,
                },
                "lifecycle": {
                    "postStart": {"exec": {"command": ["sh", "-c", "echo hook > /memory/hook"]}},
                },
                "resources": {"limits": {"memory": "100Mi", "cpu": "200m"}},
                "volumeMounts": [
                    {"name": "init", "mountPath": "/init"},
                    {"name": "settings", "mountPath": "/settings"},
                    {"name": "settings", "mountPath": "/colour", "subPath": "colour"},
                    {"name": "disk", "mountPath": "/below", "subPath": "below"},
                    {"name": "password", "mountPath": "/password"},
                    {"name": "memory", "mountPath": "/memory"},
                    {"name": "disk", "mountPath": "/disk"},
                    {"name": "about", "mountPath": "/about"},
                    {"name": "token", "mountPath": "/token"},
                ],
            },
            volumes=[
                {"name": "init", "emptyDir": {}},
                {"name": "settings", "configMap": {"name": "settings"}},
                {"name": "password", "secret": {"secretName": "password"}},
                {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
                {"name": "disk", "emptyDir": {"sizeLimit": "64Mi"}},
                {
                    "name": "about",
                    "downwardAPI": {
                        "items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
                    },
                },
                {
                    "name": "token",
                    "projected": {
                        "sources": [{"serviceAccountToken": {"path": "jwt", "audience": "e2e"}}]
                    },
                },
            ],
        ),
    )
    await namespace.ready("work", timeout_s=180)
    return "work"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hoarder(namespace: Namespace, image: str) -> str:
    """A pod that the kubelet will evict when it has looked at disks, which takes it a minute.

    Its limit keeps it from being node-critical, which a kubelet never evicts.
    """
    await namespace.apply(
        pod(
            "hoarder",
            image,
            "dd if=/dev/zero of=/disk/file bs=1M count=64; exec sleep infinity",
            restartPolicy="Never",
            container={"volumeMounts": [{"name": "disk", "mountPath": "/disk"}]},
            volumes=[{"name": "disk", "emptyDir": {"sizeLimit": "16Mi"}}],
        ),
    )
    return "hoarder"


@pytest.mark.uml
async def test_logs_and_their_following(namespace: Namespace, work: str) -> None:
    assert await namespace.kubectl("logs", work, "-c", "main") == "started\nfrom-init\n"
    assert await namespace.kubectl("logs", work, "-c", "sidecar") == "sidecar-up\n"
    async with namespace.cluster.spawned(
        "-n", namespace.name, "logs", "-f", "--tail=0", work, "-c", "sidecar"
    ) as follower:
        assert follower.stdout is not None
        reading = asyncio.create_task(follower.stdout.readline())
        while not reading.done():
            # Repeated, because it is unknown when the follower has attached.
            await namespace.sh(work, "echo followed > /proc/1/fd/1", container="sidecar")
            await asyncio.wait([reading], timeout=0.5)
        assert await reading == b"followed\n"


@pytest.mark.uml
@pytest.mark.tcg
async def test_exec_returns_the_command_s_status_and_input(namespace: Namespace, work: str) -> None:
    said = await namespace.kubectl("exec", "-i", work, "-c", "main", "--", "cat", stdin="echoed")
    assert said == "echoed"
    with pytest.raises(ProcessError) as failed:
        await namespace.sh(work, "exit 7", container="main")
    assert failed.value.returncode == 7


async def test_attach(namespace: Namespace, image: str, work: str) -> None:
    await namespace.apply(
        pod(
            "attached", image, "while read line; do echo got-$line; done", container={"stdin": True}
        )
    )
    await namespace.ready("attached")
    async with namespace.cluster.spawned(
        "-n", namespace.name, "attach", "-i", "attached"
    ) as attached:
        assert attached.stdin is not None and attached.stdout is not None
        attached.stdin.write(b"this\n")
        await attached.stdin.drain()
        assert await attached.stdout.readline() == b"got-this\n"
    await namespace.kubectl("delete", "pod", "attached")


async def test_files_are_copied_both_ways(namespace: Namespace, work: str, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("over the wire\n")
    await namespace.kubectl("cp", str(there), f"{work}:/disk/file", "-c", "main")
    back = tmp_path / "back"
    await namespace.kubectl("cp", f"{work}:/disk/file", str(back), "-c", "main")
    assert back.read_text() == "over the wire\n"


@pytest.mark.uml
async def test_port_forward(namespace: Namespace, work: str) -> None:
    async with namespace.cluster.spawned(
        "-n", namespace.name, "port-forward", f"pod/{work}", ":8080"
    ) as forwarder:
        assert forwarder.stdout is not None
        line = (await forwarder.stdout.readline()).decode()
        port = int(re.findall(r":(\d+) ->", line)[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, family=socket.AF_INET)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert b"hello-from-pod" in await reader.read()
        writer.close()


@pytest.mark.uml
async def test_downward_api_tokens_and_hooks(namespace: Namespace, work: str) -> None:
    about = await namespace.get("pod", work)
    assert (await namespace.sh(work, "echo $POD_IP", container="main")).strip() == about["status"][
        "podIP"
    ]
    assert (await namespace.sh(work, "echo $CPU_LIMIT", container="main")).strip() == str(
        100 * 1024 * 1024
    )
    assert 'tier="front"' in await namespace.sh(work, "cat /about/labels", container="main")
    assert await namespace.sh(work, "cat /memory/hook", container="main") == "hook\n"
    token = (await namespace.sh(work, "cat /token/jwt", container="main")).strip()
    review = await namespace.cluster.kubectl(
        "create", "-f", "-", "-o", "json",
        stdin=json.dumps(
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "spec": {"token": token, "audiences": ["e2e"]},
            }
        ),
    )  # fmt: skip
    assert json.loads(review)["status"]["authenticated"] is True


# What the hoarder does takes as long: it begins here.
@pytest.mark.usefixtures("hoarder")
async def test_configmaps_and_secrets_update_live(namespace: Namespace, work: str) -> None:
    assert await namespace.sh(work, "cat /settings/colour", container="main") == "green"
    await namespace.kubectl("patch", "configmap", "settings", "-p", '{"data":{"colour":"blue"}}')
    await namespace.kubectl("patch", "secret", "password", "-p", '{"stringData":{"word":"second"}}')
    script = (
        "until grep -q blue /settings/colour && grep -q second /password/word;"
        " do usleep 200000; done"
    )
    await namespace.kubectl("exec", work, "-c", "main", "--", "sh", "-c", script, timeout_s=150)


@pytest.mark.uml
async def test_emptydir_in_memory_is_tmpfs_of_its_size(namespace: Namespace, work: str) -> None:
    mounts = await namespace.sh(work, "grep /memory /proc/mounts", container="main")
    assert " tmpfs " in mounts
    assert "size=8192k" in mounts


@pytest.mark.uml
async def test_ephemeral_containers(namespace: Namespace, image: str, work: str) -> None:
    await namespace.kubectl(
        "debug", work, f"--image={image}", "--target=main", "--container=debugger",
        "--", "sh", "-c", "ps; echo debugged; sleep 3600",
    )  # fmt: skip
    await namespace.wait(
        "jsonpath={.status.ephemeralContainerStatuses[0].state.running}", f"pod/{work}"
    )

    async def sees_processes_of_its_target() -> bool:
        return "httpd" in await namespace.kubectl("logs", work, "-c", "debugger")

    await eventually(sees_processes_of_its_target, every_s=0.2)


@pytest.mark.uml
async def test_sub_paths_of_volumes(namespace: Namespace, work: str) -> None:
    """A file and a directory of a volume are mounted; the file stays as it was at the start."""
    script = "echo kept > /below/file; cat /colour /disk/below/file"
    assert await namespace.sh(work, script, container="main") == "greenkept\n"


@pytest.mark.uml
@pytest.mark.row("S12")
async def test_limits_on_open_files_and_processes(namespace: Namespace, work: str) -> None:
    limits = await namespace.sh(work, "cat /proc/self/limits", container="main")
    rows = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
    assert rows["Max open files"] == ["1024", "65535"]
    assert rows["Max processes"] == ["1024", "65535"]


@pytest.mark.uml
@pytest.mark.tcg
@pytest.mark.row("S19")
async def test_containers_are_filtered_and_set_no_kernel_parameter(
    namespace: Namespace, work: str
) -> None:
    """Also as the container's root, which the image runs as."""
    script = """
        grep Seccomp: /proc/self/status
        for file in kernel/core_pattern kernel/modprobe vm/overcommit_memory; do
            [ -e /proc/sys/$file ] || continue
            (echo 1 >/proc/sys/$file) 2>/dev/null && echo "$file written"
        done
        id -u
    """
    said = await namespace.sh(work, script, container="main")
    assert said.split() == ["Seccomp:", "2", "0"]


@pytest.mark.uml
@pytest.mark.tcg
@pytest.mark.row("S1")
async def test_node_allocatable_is_what_was_provisioned(namespace: Namespace, work: str) -> None:
    about = await namespace.get("pod", work)
    assert about["metadata"]["annotations"]["CapacityProvisioned"] == "0.25vCPU 0.5GB"
    node = await namespace.cluster.get("node", about["spec"]["nodeName"])
    assert node["status"]["allocatable"]["cpu"] == "250m"
    assert node["status"]["allocatable"]["memory"] == "256Mi"
    assert node["status"]["capacity"]["pods"] == "1"


@pytest.mark.uml
@pytest.mark.tcg
async def test_resize_in_place(namespace: Namespace, work: str) -> None:
    """CPU and memory are resized in the running container, up to what the machine has."""
    await _resize(namespace, work, {"cpu": "240m", "memory": "160Mi"})
    script = "cd /sys/fs/cgroup; until [ $(cat memory.max) = 167772160 ]; do usleep 200000; done"
    await namespace.kubectl("exec", work, "-c", "main", "--", "sh", "-c", script, timeout_s=60)

    async def has_cpu() -> bool:
        said = await namespace.sh(work, "cat /sys/fs/cgroup/cpu.max", container="main")
        assert said == "24000 100000\n"
        return True

    async def reported() -> dict[str, Any]:
        (main,) = (await namespace.get("pod", work))["status"]["containerStatuses"]
        assert main["resources"]["limits"] == {"cpu": "240m", "memory": "160Mi"}
        return main

    # The kubelet resizes memory first, then CPU, and reports both later.
    await eventually(has_cpu, every_s=0.2)
    main = await eventually(reported, every_s=0.2)
    assert main["restartCount"] == 0
    # More than the limit that the container was started with.
    await namespace.sh(work, "dd if=/dev/zero of=/dev/null bs=120M count=1", container="main")
    # A machine does not grow: what exceeds it is refused, and VPA evicts the pod instead.
    for wanted, refusal in (
        ({"cpu": "500m"}, "cpu, requested: 500, allocatable: 250"),
        ({"memory": "300Mi"}, f"memory, requested: {300 << 20}, allocatable: {256 << 20}"),
    ):
        with pytest.raises(ProcessError, match=refusal):
            await _resize(namespace, work, wanted)
    about = await namespace.get("pod", work)
    assert about["metadata"]["annotations"]["CapacityProvisioned"] == "0.25vCPU 0.5GB"
    assert about["status"]["containerStatuses"][0]["restartCount"] == 0


async def _resize(namespace: Namespace, name: str, wanted: dict[str, str]) -> None:
    resources = {"requests": wanted, "limits": wanted}
    patch = {"spec": {"containers": [{"name": "main", "resources": resources}]}}
    await namespace.kubectl(
        "patch", "pod", name, "--subresource=resize", f"--patch={json.dumps(patch)}"
    )


@pytest.mark.linux_kernel
async def test_user_namespaces_and_the_handler_runc(namespace: Namespace, image: str) -> None:
    """Root in the container is another user on the node; volumes of each kind are its own."""
    mounts = [
        {"name": "disk", "mountPath": "/disk", "mountPropagation": "HostToContainer"},
        {"name": "disk", "mountPath": "/sub", "subPath": "below"},
        {"name": "memory", "mountPath": "/memory"},
        {"name": "token", "mountPath": "/token"},
    ]
    token = {"serviceAccountToken": {"path": "jwt"}}
    await namespace.apply(
        pod(
            "mapped",
            image,
            hostUsers=False,
            runtimeClassName="monopod",
            container={"volumeMounts": mounts},
            volumes=[
                {"name": "disk", "emptyDir": {}},
                {"name": "memory", "emptyDir": {"medium": "Memory"}},
                {"name": "token", "projected": {"sources": [token]}},
            ],
        )
    )
    await namespace.ready("mapped", timeout_s=60)
    inside, outside, count = (await namespace.sh("mapped", "cat /proc/self/uid_map")).split()
    assert (inside, count) == ("0", "65536")
    assert int(outside) >= 65536
    script = (
        "touch /sub/seen /memory/file; stat -c %u /disk/below/seen /memory/file; cat /token/jwt"
    )
    first, second, jwt = (await namespace.sh("mapped", script)).split()
    assert (first, second, jwt.count(".")) == ("0", "0", 2)


@pytest.mark.uml
async def test_probes_and_restarts(namespace: Namespace, image: str) -> None:
    """Startup gates liveness; a failed liveness probe restarts; OOM restarts with its reason."""
    await namespace.apply(
        pod(
            "probed",
            image,
            "[ -e /state/seen ] ||"
            " { touch /state/seen /tmp/well; sleep 4; rm /tmp/well; sleep 3600; };"
            " touch /tmp/well; exec sleep infinity",
            container={
                "volumeMounts": [{"name": "state", "mountPath": "/state"}],
                "startupProbe": {
                    "exec": {"command": ["test", "-e", "/tmp/well"]},
                    "periodSeconds": 1,
                },
                "livenessProbe": {
                    "exec": {"command": ["test", "-e", "/tmp/well"]},
                    "periodSeconds": 1,
                    "failureThreshold": 2,
                    "terminationGracePeriodSeconds": 1,
                },
            },
            volumes=[{"name": "state", "emptyDir": {}}],
            sidecars=[
                {
                    "name": "greedy",
                    "image": image,
                    "command": [
                        "sh",
                        "-c",
                        "[ -e /state/fed ] && exec sleep infinity; touch /state/fed;"
                        " exec dd if=/dev/zero of=/dev/null bs=256M count=1",
                    ],
                    "resources": {"limits": {"memory": "32Mi"}},
                    "volumeMounts": [{"name": "state", "mountPath": "/state"}],
                }
            ],
        )
    )
    await namespace.wait(
        "jsonpath={.status.containerStatuses[?(@.name=='main')].restartCount}=1", "pod/probed"
    )
    await namespace.wait(
        "jsonpath={.status.containerStatuses[?(@.name=='greedy')].lastState.terminated.reason}"
        "=OOMKilled",
        "pod/probed",
    )
    await namespace.ready("probed")


async def test_graceful_termination(namespace: Namespace, image: str) -> None:
    """SIGTERM and preStop reach the container, which has its grace period to end by itself."""
    await namespace.apply(
        pod(
            "graceful",
            image,
            "trap 'echo terminated-well; exit 0' TERM; echo up; while true; do usleep 100000; done",
            terminationGracePeriodSeconds=30,
            container={
                "lifecycle": {
                    "preStop": {"exec": {"command": ["sh", "-c", "echo pre-stop > /proc/1/fd/1"]}}
                }
            },
        )
    )
    await namespace.ready("graceful")
    async with namespace.cluster.spawned(
        "-n", namespace.name, "logs", "-f", "graceful"
    ) as follower:
        assert follower.stdout is not None
        assert await follower.stdout.readline() == b"up\n"
        await namespace.kubectl("delete", "pod", "graceful", "--wait=true", "--timeout=20s")
        rest = await follower.stdout.read()
    assert rest == b"pre-stop\nterminated-well\n"


@pytest.mark.uml
async def test_emptydir_over_its_size_evicts(namespace: Namespace, hoarder: str) -> None:
    await namespace.wait("jsonpath={.status.reason}=Evicted", f"pod/{hoarder}", timeout_s=180)
