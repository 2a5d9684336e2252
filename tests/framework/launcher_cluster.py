"""A plain cluster with Monopod's scheduler and MicroVM controllers: machines in launcher pods."""

import asyncio
import base64
import shutil
import ssl
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

import yaml

from monopod import controlplane
from monopod.api import crds, keys
from monopod.build.images import build_test_image
from monopod.build.images.push import push
from monopod.controllers.microvm import manager as microvm
from monopod.controllers.microvm.cluster_endpoint import ClusterEndpoint
from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.controllers.scheduler import manager as scheduler
from monopod.controllers.scheduler.settings import SchedulerSettings
from monopod.controllers.vpc.launchers import manager as policies
from monopod.identity.pull_grant import PullGrants
from monopod.identity.serving import ServingCertificate
from monopod.install import access, admission
from monopod.install.images import build_monopod_images
from monopod.install.installation import device_plugin
from monopod.install.values import Values
from monopod.kube import connect
from monopod.node.net.namespaces import Namespace
from monopod.node.provider.kubernetes import open_launchers
from monopod.node.provider.launcher_settings import NAMESPACE, LauncherSettings, need_linux_image
from monopod.settings import Settings
from monopod.webhooks import manager as webhooks
from monopod.webhooks.settings import WebhookSettings
from tests.framework.eventually import eventually
from tests.framework.plain_cluster import PlainCluster
from tests.framework.plain_cluster.addresses import DNS_SERVICE, KUBERNETES
from tests.framework.plain_cluster.services import Timings
from tests.framework.prepared_hosts import prepared_hosts

REGION: Final = "local-1"
_REGISTRY_PORT: Final = 5000
_USERS: Final = ("monopod:microvm", "monopod:fargate-scheduler", "monopod:policies")
_WEBHOOKS: Final = "monopod:webhooks"
_IMAGE: Final = "example.test/monopod/launcher:1"
_LINUX_IMAGE: Final = "example.test/monopod/launcher-linux:1"
# Kubelets of machines report as often as upstream's do.
_TIMINGS: Final = Timings(monitor_grace_s=40)
_READY_WITHIN_S: Final = 60.0
_RBAC: Final = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class ImageRegistry:
    """A registry in the control plane's namespace."""

    address: str
    """Its address and port, with which names of its images begin."""
    context: ssl.SSLContext
    """What trusts its certificate."""

    async def push(self, archive: Path) -> str:
        """Push the image of an archive; returns its reference for pods."""
        return await push(archive, f"https://{self.address}", ssl=self.context)


@dataclass(frozen=True, slots=True)
class LauncherCluster:
    """A running cluster."""

    plain: PlainCluster
    image: str
    """Reference of the test image, which machines pull."""
    registry: ImageRegistry

    async def kubectl(self, *words: str) -> str:
        """Run kubectl as the administrator; returns its output."""
        return await self.plain.kubectl(*words)

    async def apply(self, *manifests: dict[str, Any]) -> None:
        """Apply objects as the administrator."""
        await self.plain.apply(*manifests)


@asynccontextmanager
async def running_launchers(
    directory: Path,
    *,
    user_namespaces: bool,
    zones: Sequence[str] = ("zone-a",),
    drivers: Sequence[str] = ("gvisor",),
    with_webhooks: bool = False,
) -> AsyncGenerator[LauncherCluster]:
    """Run a cluster of two hosts, on which pods of namespace ``default`` get machines.

    Args:
        directory: A directory for its files, new or empty.
        user_namespaces: Whether launcher pods have one.
        zones: The zones of its hosts, each of which has a subnet.
        drivers: The drivers of launcher pods.
        with_webhooks: Whether Monopod's webhooks mark the pods of profiles. Without them pods name
            their scheduler and profile themselves.
    """
    settings = LauncherSettings(
        image=_IMAGE,
        linux_image=_LINUX_IMAGE,
        drivers=tuple(drivers),
        user_namespaces=user_namespaces,
    )
    images = await build_monopod_images(Settings(region=REGION), linux=need_linux_image(drivers))
    async with AsyncExitStack() as stack:
        stack.enter_context(prepared_hosts())
        plain = await stack.enter_async_context(
            PlainCluster.running(directory / "cluster", zones=zones, timings=_TIMINGS)
        )
        await plain.import_image(images.launcher, _IMAGE)
        if images.launcher_linux is not None:
            await plain.import_image(images.launcher_linux, _LINUX_IMAGE)
        registry = await serve_images(stack, plain, directory / "registry")
        await _furnish(plain, dict.fromkeys(zones))
        endpoint = ClusterEndpoint(
            f"https://{KUBERNETES}:443",
            plain.certificates.ca,
            registry.address,
            "",
            REGION,
            cluster_dns=IPv4Address(DNS_SERVICE),
            resolver=IPv4Address(DNS_SERVICE),
        )
        if any(each.startswith("qemu") for each in drivers):
            values = Values("", "", launcher_linux_image=_LINUX_IMAGE, drivers=",".join(drivers))
            await plain.apply(*device_plugin(values))
        await _control(stack, plain, endpoint, directory, settings)
        if with_webhooks:
            await _mark_pods(stack, plain)
        yield LauncherCluster(plain, f"{registry.address}/monopod/test:1", registry)


async def serve_images(
    stack: AsyncExitStack, plain: PlainCluster, directory: Path
) -> ImageRegistry:
    """Run a registry in the control plane's namespace with the test image."""
    configuration = await asyncio.to_thread(_registry_files, plain, directory)
    program = shutil.which("docker-registry")
    assert program is not None
    namespace = Namespace.named(plain.addresses.namespace)
    with (directory / "log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL"),
            *("nsenter", f"--net={namespace.path}", program, "serve", configuration),
            stdout=log,
            stderr=log,
        )
    stack.push_async_callback(child.wait)
    stack.callback(child.kill)
    context = ssl.create_default_context(cadata=plain.certificates.ca.decode())
    registry = ImageRegistry(f"{plain.addresses.control}:{_REGISTRY_PORT}", context)
    archive = await build_test_image()
    await eventually(lambda: registry.push(archive), errors=(Exception,))
    return registry


def _registry_files(plain: PlainCluster, directory: Path) -> Path:
    """Write a registry's certificate and configuration; returns the latter's path."""
    directory.mkdir()
    address = plain.addresses.control
    certificate, key = plain.certificates.serving("registry", address)
    configuration = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        "http": {
            "addr": f"{address}:{_REGISTRY_PORT}",
            "tls": {"certificate": str(certificate), "key": str(key)},
        },
    }
    (directory / "config.yml").write_text(yaml.safe_dump(configuration))
    return directory / "config.yml"


async def _furnish(plain: PlainCluster, zones: dict[str, None]) -> None:
    """Create what an installation creates, and a profile for namespace ``default``."""
    await plain.apply(*crds.manifests())
    await plain.kubectl(
        *("wait", "--for=condition=Established", "--timeout=60s", "crd"),
        *(manifest["metadata"]["name"] for manifest in crds.manifests()),
    )
    rbac = Path(controlplane.__file__).with_name("manifests") / "rbac.yaml"
    roles = list(yaml.safe_load_all(rbac.read_text()))
    subnets = {zone: f"subnet-{zone}" for zone in zones}
    group, version = "monopod.dev", "v1alpha1"

    def own(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        metadata = {"name": name}
        return {
            "apiVersion": f"{group}/{version}",
            "kind": kind,
            "metadata": metadata,
            "spec": spec,
        }

    namespaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in (NAMESPACE, "monopod-system")
    ]
    await plain.apply(*namespaces)
    await plain.apply(
        *roles,
        *_launcher_role(),
        own("Vpc", "vpc", {"cidrBlocks": [str(plain.addresses.pods)]}),
        *(
            own(
                "Subnet",
                name,
                {
                    "vpc": "vpc",
                    "cidrBlock": str(plain.addresses.pods_of(number)),
                    "availabilityZone": zone,
                },
            )
            for number, (zone, name) in enumerate(subnets.items(), start=1)
        ),
        own(
            "FargateProfile",
            "default",
            {
                "podExecutionRoleArn": "arn:aws:iam::000000000000:role/pod",
                "selectors": [{"namespace": "default"}],
                "subnets": list(subnets.values()),
            },
        ),
    )


def _launcher_role() -> list[dict[str, Any]]:
    """Return an installation's rights on launcher pods, bound to the users of this process."""
    return [
        {**each, "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": user}]}
        if "subjects" in each
        else each
        for user, some in (
            ("monopod:microvm", access.launchers()),
            ("monopod:policies", access.policies()),
        )
        for each in some
    ]


async def _control(
    stack: AsyncExitStack,
    plain: PlainCluster,
    endpoint: ClusterEndpoint,
    directory: Path,
    launchers: LauncherSettings,
) -> None:
    """Run the scheduler, the MicroVM controllers and those of policies in this process."""
    clients = [
        await stack.enter_async_context(connect(plain.user(name), name.partition(":")[2]))
        for name in _USERS
    ]
    provider = await stack.enter_async_context(open_launchers(clients[0], launchers))
    ready = [asyncio.Event() for _ in _USERS]
    grants = PullGrants(directory / "pulls")
    await _run(
        stack,
        [
            microvm.run(
                clients[0], provider, endpoint, grants, MicroVMSettings(), ready=ready[0].set
            ),
            scheduler.run(clients[1], Settings(region=REGION), SchedulerSettings(), ready[1].set),
            policies.run(clients[2], NAMESPACE, ready[2].set),
        ],
        ready,
    )


async def _mark_pods(stack: AsyncExitStack, plain: PlainCluster) -> None:
    """Run the webhooks in this process, and register them as an installation does."""
    address = plain.addresses.machine
    own = WebhookSettings(address=str(address))
    context = ServingCertificate(*plain.certificates.serving("webhooks", address)).context()
    client = await stack.enter_async_context(connect(plain.user(_WEBHOOKS), webhooks.COMPONENT))
    ready = asyncio.Event()
    work = webhooks.run(client, Settings(region=REGION), own, context, ready=ready.set)
    await _run(stack, [work], [ready])
    authority = base64.b64encode(plain.certificates.ca).decode()
    configurations = admission.configurations()
    for webhook in (each for every in configurations for each in every["webhooks"]):
        path = webhook["clientConfig"]["service"]["path"]
        url = f"https://{address}:{own.port}{path}"
        webhook["clientConfig"] = {"url": url, "caBundle": authority}
    await plain.apply(*configurations)
    words = (
        "run",
        "probe",
        "--image=none",
        "--dry-run=server",
        "-o=jsonpath={.spec.schedulerName}",
    )

    async def marked() -> bool:
        return await plain.kubectl(*words) == keys.SCHEDULER_NAME

    await eventually(marked, "the webhooks mark pods of profiles")


async def _run(
    stack: AsyncExitStack,
    work: Sequence[Coroutine[Any, Any, None]],
    ready: Sequence[asyncio.Event],
) -> None:
    """Run processes of Monopod's in this one until the end of the stack; wait until all are ready.

    Raises:
        TimeoutError: They are not in time.
    """
    tasks = [asyncio.ensure_future(each) for each in work]

    async def stop() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stack.push_async_callback(stop)
    every = asyncio.gather(*(each.wait() for each in ready))
    stack.callback(every.cancel)
    async with asyncio.timeout(_READY_WITHIN_S):
        await asyncio.wait({every, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            task.result()
