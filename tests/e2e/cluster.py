"""A running cluster, driven through ``monopod`` and ``kubectl`` as by a user."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from monopod.controllers.scheduler.decide import machine_name
from monopod.controlplane import access
from monopod.settings import Settings
from monopod.util import process
from tests.framework.eventually import eventually

MONOPOD = Path(sys.executable).parent / "monopod"


@dataclass(frozen=True)
class Cluster:
    """One installation, identified by its home directory."""

    home: Path

    metrics_server: bool = False
    """Whether `monopod up` runs metrics-server, on a machine that most tests do not need."""

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "MONOPOD_HOME": str(self.home),
            "MONOPOD_METRICS_SERVER": str(self.metrics_server).lower(),
        }

    async def monopod(self, *words: str, timeout_s: float = 120) -> str:
        return await process.run(MONOPOD, *words, env=self.environment, timeout_s=timeout_s)

    async def kubectl(self, *words: str, stdin: str | None = None, timeout_s: float = 120) -> str:
        # What `monopod kubectl` runs: to start Python each time took a good part of a whole run.
        allowed = access.administrator(Settings(home=self.home))
        return await process.run(
            allowed.components / "kubectl",
            *words,
            stdin=None if stdin is None else stdin.encode(),
            env={**self.environment, "KUBECONFIG": str(allowed.kubeconfig)},
            timeout_s=timeout_s,
        )

    async def get(self, *words: str) -> Any:
        return json.loads(await self.kubectl("get", *words, "-o", "json"))

    async def apply(self, *manifests: dict[str, Any]) -> None:
        await self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    async def delete(self, *words: str) -> None:
        """Delete what machines may still be leaving."""

        async def gone() -> bool:
            try:
                await self.kubectl("delete", "--ignore-not-found", *words)
            except process.ProcessError as error:
                assert "has dependencies" not in error.stderr, error.stderr
                raise
            return True

        await eventually(gone, f"{' '.join(words)} is gone", every_s=0.2)

    async def settled(self) -> None:
        """Wait until machines of earlier tests' pods, which end after their pods, are gone."""

        async def every_machine_stays() -> bool:
            machines = (await self.get("microvms"))["items"]
            pods = {each["metadata"]["uid"] for each in (await self.get("pods", "-A"))["items"]}
            left = [
                each["metadata"]["name"]
                for each in machines
                if "deletionTimestamp" in each["metadata"]
                # Worker nodes belong to no pod.
                or (not each["spec"].get("podCIDR") and each["spec"]["podRef"]["uid"] not in pods)
            ]
            assert left == []
            return True

        await eventually(every_machine_stays, every_s=0.2)

    @asynccontextmanager
    async def spawned(self, *words: str) -> AsyncGenerator[asyncio.subprocess.Process]:
        """Run a ``kubectl`` in the background of the test: logs -f, port-forward."""
        child = await asyncio.create_subprocess_exec(
            MONOPOD,
            "kubectl",
            "--",
            *words,
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield child
        finally:
            if child.returncode is None:
                child.terminate()
            await child.wait()


@dataclass(frozen=True)
class Namespace:
    """A test's namespace, whose pods run on microVMs."""

    cluster: Cluster
    name: str
    profile: str
    """The profile that selects it."""

    async def kubectl(self, *words: str, stdin: str | None = None, timeout_s: float = 120) -> str:
        # Before any "--", after which kubectl passes arguments on.
        return await self.cluster.kubectl("-n", self.name, *words, stdin=stdin, timeout_s=timeout_s)

    async def get(self, *words: str) -> Any:
        return await self.cluster.get("-n", self.name, *words)

    async def apply(self, *manifests: dict[str, Any]) -> None:
        await self.cluster.apply(
            *(
                {**each, "metadata": {**each["metadata"], "namespace": self.name}}
                for each in manifests
            )
        )

    async def ready(self, *names: str, timeout_s: int = 120) -> None:
        """Wait until these pods are Ready; a failure shows their events."""
        await self.wait("condition=Ready", *(f"pod/{name}" for name in names), timeout_s=timeout_s)

    async def wait(self, condition: str, *objects: str, timeout_s: int = 120) -> None:
        try:
            await self.kubectl(
                "wait",
                f"--for={condition}",
                f"--timeout={timeout_s}s",
                *objects,
                timeout_s=timeout_s + 10,
            )
        except process.ProcessError as error:
            story = await self.kubectl("get", "pods,events", "-o", "wide")
            machines = await self.cluster.kubectl("get", "microvms,nodes", "-o", "wide")
            raise AssertionError(f"{error}\n{story}\n{machines}") from error

    async def sh(self, pod: str, script: str, *, container: str | None = None) -> str:
        """Run a shell line in a container of a pod."""
        chosen = ["-c", container] if container else []
        return await self.kubectl("exec", pod, *chosen, "--", "sh", "-c", script)

    async def fetch(self, pod: str, url: str) -> str:
        """Fetch a page from within a pod."""
        return (await self.sh(pod, f"timeout 5 wget -q -O - {url}")).strip()

    async def reaches(self, pod: str, url: str) -> bool:
        """Return whether a pod can fetch a page."""
        try:
            await self.fetch(pod, url)
        except process.ProcessError:
            return False
        return True


async def management_address(namespace: Namespace, pod_name: str) -> str:
    """Return the management address of a pod's machine, on which its kubelet listens."""
    uid = (await namespace.get("pod", pod_name))["metadata"]["uid"]
    return (await namespace.cluster.get("microvm", machine_name(uid)))["status"][
        "managementAddress"
    ]


async def ask_for_machine(namespace: Namespace, pod_name: str) -> None:
    """Create the MicroVM of a pod that the scheduler rejects, as only an administrator can."""
    cluster = namespace.cluster
    profile = await cluster.get("fargateprofile", namespace.profile)
    uid = (await namespace.get("pod", pod_name))["metadata"]["uid"]
    subnet = (await cluster.get("subnets"))["items"][0]["metadata"]["name"]
    await cluster.apply(
        {
            "apiVersion": "monopod.dev/v1alpha1",
            "kind": "MicroVM",
            "metadata": {"name": machine_name(uid)},
            "spec": {
                "podRef": {"namespace": namespace.name, "name": pod_name, "uid": uid},
                "profile": namespace.profile,
                "subnet": subnet,
                "milliCPU": 250,
                "memoryMiB": 512,
                "podExecutionRoleArn": profile["spec"]["podExecutionRoleArn"],
            },
        }
    )


def pod(
    name: str,
    image: str,
    script: str = "exec sleep infinity",
    **overrides: Any,
) -> dict[str, Any]:
    """Return a pod of one container that runs a shell script; ``overrides`` go into its spec."""
    container = {
        "name": "main",
        "image": image,
        "command": ["sh", "-c", script],
        **overrides.pop("container", {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name, **overrides.pop("labels", {})}},
        "spec": {
            "containers": [container, *overrides.pop("sidecars", [])],
            "terminationGracePeriodSeconds": 1,
            **overrides,
        },
    }


def network_balancer(name: str, app: str, **annotations: str) -> dict[str, Any]:
    """Return a Service with a Network Load Balancer, from port 80 to 8080 of pods of an app.

    Args:
        name: Its name.
        app: The value of the pods' label ``app``.
        annotations: By the last part of their names, with underscores: ``nlb_target_type``.
    """
    prefix = "service.beta.kubernetes.io/aws-load-balancer-"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "annotations": {prefix + key.replace("_", "-"): of for key, of in annotations.items()},
        },
        "spec": {
            "type": "LoadBalancer",
            "loadBalancerClass": "service.k8s.aws/nlb",
            "selector": {"app": app},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
        },
    }


INTERNET_FACING: Final = {"scheme": "internet-facing", "nlb_target_type": "ip"}
"""Annotations of a load balancer that the host reaches too, in front of pods' addresses."""
