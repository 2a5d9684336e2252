"""What upstream's suite needs of a cluster: its images, a profile, and one node it may pick."""

import asyncio
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import yaml

from monopod.build.components import COMPONENTS, E2E_SUITE, module_directory, provide
from monopod.build.images import push
from monopod.controlplane import access
from monopod.settings import Settings
from monopod.util.progress import Report, ignore
from tests.conformance.images import REPOSITORY, build_images
from tests.conformance.suite import Suite
from tests.e2e.cluster import Cluster

PROFILE: Final = "fp-conformance"
NODE: Final = "conformance"


async def prepare(cluster: Cluster, driver: str, directory: Path, report: Report = ignore) -> Suite:
    """Build the suite and its images, and make the cluster ready for it."""
    settings = Settings(home=cluster.home)
    components = await provide(settings, report, components=(*COMPONENTS, E2E_SUITE))
    sources = await module_directory(E2E_SUITE.module, settings)
    registry = access.registry(settings)
    for image in await build_images(components, sources, settings.cache, report):
        for tag in image.tags:
            name = f"{REPOSITORY}/{image.name}:{tag}"
            await push(image.archive, registry.url, socket=registry.socket, name=name)
    await cluster.apply(_profile(driver))
    if not await _schedulable(cluster):
        await cluster.monopod("node", "add", NODE, timeout_s=240)
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    registries = directory / "registries.yaml"
    repository = f"{urlsplit(registry.url).netloc}/{REPOSITORY}"
    names = ("promoterE2eRegistry", "gcRegistry", "gcEtcdRegistry")
    registries.write_text(yaml.safe_dump(dict.fromkeys(names, repository)))
    kubeconfig = Path((await cluster.monopod("kubeconfig")).strip())
    return Suite(
        components.program("e2e.test"),
        components.program("kubectl"),
        kubeconfig,
        registries,
        directory,
    )


def _profile(driver: str) -> dict[str, object]:
    """Return a profile for all namespaces of the suite's; no other of a cluster's has a hyphen."""
    return {
        "apiVersion": "monopod.dev/v1alpha1",
        "kind": "FargateProfile",
        "metadata": {"name": PROFILE, "annotations": {"monopod.dev/driver": driver}},
        "spec": {
            "selectors": [{"namespace": "*-*"}],
            "podExecutionRoleArn": "arn:aws:iam::000000000000:role/conformance",
        },
    }


async def _schedulable(cluster: Cluster) -> bool:
    nodes = (await cluster.get("nodes"))["items"]
    return any(not node["spec"].get("taints") for node in nodes)
