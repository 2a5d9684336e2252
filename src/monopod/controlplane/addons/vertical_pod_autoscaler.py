"""The Vertical Pod Autoscaler: upstream's manifests of its release, with images built here.

Its three programs run in pods on Fargate. Its webhook raises the requests of new pods; a machine's
size follows from the pod that is stored, so the order of webhooks does not matter.
"""

import asyncio
import datetime as dt
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import yaml
from lightkube.resources.admissionregistration_v1 import MutatingWebhookConfiguration

from monopod.api import keys
from monopod.build import components
from monopod.build.components import VERTICAL_POD_AUTOSCALER
from monopod.build.images import build_program_image, push
from monopod.controlplane import access, objects
from monopod.controlplane.addons import certificate
from monopod.controlplane.control_plane import ControlPlane
from monopod.controlplane.manifests import Manifest
from monopod.kube import NotFoundError
from monopod.settings import Settings
from monopod.util.progress import Progress, Report

NAME: Final = VERTICAL_POD_AUTOSCALER.name
_PROGRAMS: Final = ("vpa-recommender", "vpa-updater", "vpa-admission-controller")
_CERTIFICATE: Final = "vpa-tls-certs"
_FILES: Final = certificate.Files("caCert.pem", "serverCert.pem", "serverKey.pem")
_SERVICE: Final = "vpa-webhook"
_WEBHOOK: Final = "vpa-webhook-config"
"""The admission controller creates it when it starts."""
_DEFINITION: Final = "CustomResourceDefinition"
_MANAGED_BY: Final = {"app.kubernetes.io/managed-by": keys.GROUP}


async def add(settings: Settings, plane: ControlPlane, report: Report) -> None:
    """Build and apply it; does not wait for its pods. Idempotent.

    Raises:
        ComponentsError: It cannot be built.
        ImageError: An image could not be pushed.
        ClusterError: The API server rejected an object.
        KubeError: The API server cannot be reached.
    """
    built = await components.provide(settings, report, components=(VERTICAL_POD_AUTOSCALER,))
    registry = access.registry(settings)
    version = VERTICAL_POD_AUTOSCALER.version.removeprefix("v")
    images: dict[str, str] = {}
    for name in _PROGRAMS:
        archive = await build_program_image(built.program(name), version, settings, report)
        images[name] = await push(archive, registry.url, socket=registry.socket, report=report)
    every = await _upstreams(settings, report)
    async with plane.admin() as client:
        now = dt.datetime.now(dt.UTC)
        await certificate.provide(client, _CERTIFICATE, _SERVICE, now, _FILES)
        await objects.apply(client, [_ours(each, images) for each in every])
    report(Progress(NAME, "its pods start", 1, 1))


async def remove(settings: Settings, plane: ControlPlane, report: Report) -> None:
    """Remove it; its definitions stay, and with them the VerticalPodAutoscalers. Idempotent.

    Raises:
        ComponentsError: Upstream's manifests cannot be fetched.
        ClusterError: The API server rejected a request.
        KubeError: The API server cannot be reached.
    """
    every = [each for each in await _upstreams(settings, report) if each["kind"] != _DEFINITION]
    async with plane.admin() as client:
        await objects.remove(client, [*every, certificate.manifest(_CERTIFICATE)])
        with suppress(NotFoundError):
            await client.delete(MutatingWebhookConfiguration, _WEBHOOK)
    report(Progress(NAME, "removed; its definitions and objects stay", 1, 1))


async def _upstreams(settings: Settings, report: Report) -> list[Manifest]:
    """Return the manifests of the release."""
    sources = await components.module_directory(
        VERTICAL_POD_AUTOSCALER.module,
        settings,
        report,
        components=(VERTICAL_POD_AUTOSCALER,),
    )
    return await asyncio.to_thread(read, sources / "deploy")


def read(directory: Path) -> list[Manifest]:
    """Return the manifests that a directory's ``kustomization.yaml`` lists."""
    listed: list[str] = yaml.safe_load((directory / "kustomization.yaml").read_text())["resources"]
    return [
        each
        for name in listed
        for each in yaml.safe_load_all((directory / name).read_text())
        if each is not None
    ]


def _ours(manifest: Manifest, images: Mapping[str, str]) -> Manifest:
    metadata: dict[str, Any] = manifest["metadata"]
    labels = {**metadata.get("labels", {}), **_MANAGED_BY}
    changed = {**manifest, "metadata": {**metadata, "labels": labels}}
    if manifest["kind"] != "Deployment":
        return changed
    pod = manifest["spec"]["template"]["spec"]
    containers = [{**each, "image": images[metadata["name"]]} for each in pod["containers"]]
    template = {**manifest["spec"]["template"], "spec": {**pod, "containers": containers}}
    return {**changed, "spec": {**manifest["spec"], "template": template}}
