"""A plain cluster whose hosts have Monopod's images, and what tests of installations do with it."""

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from monopod.api import keys
from monopod.bench.network.image import image_name, write_fortio_archive
from monopod.build.components import FORTIO, provide
from monopod.build.images import push
from monopod.install.images import build_monopod_images
from monopod.node.provider.launcher_settings import need_linux_image
from monopod.settings import Settings
from monopod.util.process import ProcessError, run
from tests.framework.launcher_cluster import serve_images
from tests.framework.plain_cluster import PlainCluster
from tests.framework.prepared_hosts import prepared_hosts

CONTROLLERS: Final = "example.test/monopod/controllers:1"
LAUNCHER: Final = "example.test/monopod/launcher:1"
_LAUNCHER_LINUX: Final = "example.test/monopod/launcher-linux:1"
ROLE: Final = "arn:aws:iam::000000000000:role/pods"
NAMESPACE: Final = "shop"
PORT: Final = 8080
_COMMAND_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class InstalledCluster:
    """A running cluster, and the registry that its machines pull from."""

    plain: PlainCluster
    registry: str
    drivers: Sequence[str] = (keys.DRIVER_GVISOR,)
    """Those of its launcher pods."""

    async def monopod(self, *words: str, timeout_s: float = _COMMAND_S) -> str:
        """Run a command of Monopod as the administrator."""
        program = Path(sys.executable).with_name("monopod")
        kubeconfig = f"--kubeconfig={self.plain.kubeconfig}"
        return await run(program, *words, kubeconfig, timeout_s=timeout_s)

    async def install(self) -> str:
        """Install Monopod, and wait until it works."""
        words = [f"--controllers-image={CONTROLLERS}", f"--launcher-image={LAUNCHER}"]
        if need_linux_image(self.drivers):
            words += [f"--launcher-linux-image={_LAUNCHER_LINUX}"]
        return await self.monopod("install", *words, f"--drivers={','.join(self.drivers)}")

    async def fortio(self, directory: Path) -> str:
        """Give machines and hosts the image of Fortio; returns its reference."""
        programs = await provide(Settings(), components=(FORTIO,))
        archive = directory / "fortio.tar"
        reference = f"{self.registry}/{image_name()}"
        program = programs.program(FORTIO.name)
        await asyncio.to_thread(write_fortio_archive, program, archive, reference)
        await self.plain.import_image(archive, reference)
        context = ssl.create_default_context(cadata=self.plain.certificates.ca.decode())
        await push(archive, f"https://{self.registry}", ssl=context)
        return reference

    def role(self, name: str, arn: str) -> Mapping[str, Any]:
        """Return an execution role by which machines trust the registry."""
        authority = {
            "registry": self.registry,
            "certificate": self.plain.certificates.ca.decode(),
        }
        return {
            "apiVersion": "monopod.dev/v1alpha1",
            "kind": "ExecutionRole",
            "metadata": {"name": name},
            "spec": {"arn": arn, "registryAuthorities": [authority]},
        }

    async def read(self, *words: str) -> list[dict[str, Any]]:
        """Return the objects that kubectl gets."""
        return json.loads(await self.plain.kubectl("get", *words, "-o", "json"))["items"]

    async def shop(self) -> None:
        """Have a Deployment of two pods on Fargate Ready."""
        await self.plain.apply(*_profile(self), *_deployment(f"{self.registry}/monopod/test:1"))
        words = ("rollout", "status", "deployment/web", f"--namespace={NAMESPACE}")
        try:
            await self.plain.kubectl(*words, "--timeout=110s")
        except ProcessError as error:
            seen = await self.plain.kubectl("get", "pods,microvms,events", "-A", "-o", "wide")
            pytest.fail(f"{error}\n{seen}")


@asynccontextmanager
async def with_images(
    directory: Path, *, konnectivity: bool = False, drivers: Sequence[str] = (keys.DRIVER_GVISOR,)
) -> AsyncGenerator[InstalledCluster]:
    """Run a cluster of two hosts that have Monopod's images; ``install`` installs it.

    Args:
        directory: A directory for its files, new or empty.
        konnectivity: Whether its API server reaches hosts and pods through agents alone.
        drivers: The drivers of its launcher pods.
    """
    images = await build_monopod_images(Settings(), linux=need_linux_image(drivers))
    async with AsyncExitStack() as stack:
        stack.enter_context(prepared_hosts())
        plain = await stack.enter_async_context(
            PlainCluster.running(directory / "cluster", konnectivity=konnectivity)
        )
        await plain.import_image(images.controllers, CONTROLLERS)
        await plain.import_image(images.launcher, LAUNCHER)
        if images.launcher_linux is not None:
            await plain.import_image(images.launcher_linux, _LAUNCHER_LINUX)
        registry = await serve_images(stack, plain, directory / "registry")
        yield InstalledCluster(plain, registry.address, drivers)


def _profile(cluster: InstalledCluster) -> list[Mapping[str, Any]]:
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        cluster.role("pods", ROLE),
        {
            "apiVersion": "monopod.dev/v1alpha1",
            "kind": "FargateProfile",
            "metadata": {"name": NAMESPACE},
            "spec": {"podExecutionRoleArn": ROLE, "selectors": [{"namespace": NAMESPACE}]},
        },
    ]


def _deployment(image: str) -> list[Mapping[str, Any]]:
    serve = f"echo serving; mkdir /tmp/www; hostname >/tmp/www/index.html; exec httpd -f -p {PORT}"
    container = {
        "name": "main",
        "image": image,
        "command": ["sh", "-c", f"{serve} -h /tmp/www"],
        "readinessProbe": {"httpGet": {"port": PORT}, "periodSeconds": 1, "timeoutSeconds": 5},
    }
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": NAMESPACE},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
                },
            },
        }
    ]
