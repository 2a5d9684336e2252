"""metrics-server: the API of ``kubectl top`` and of autoscalers, in a pod on Fargate."""

import base64
import datetime as dt
from typing import Final

from lightkube.resources.apiregistration_v1 import APIService

from monopod.api import keys
from monopod.build.components import module_version
from monopod.build.images import build_program_image, push
from monopod.controlplane import access, manifests, objects
from monopod.controlplane.addons import certificate
from monopod.controlplane.control_plane import ControlPlane
from monopod.kube import Client, NotFoundError, labels_of
from monopod.settings import Settings
from monopod.util.progress import Progress, Report

_NAME: Final = "metrics-server"
_MODULE: Final = "sigs.k8s.io/metrics-server"
_CERTIFICATE: Final = "metrics-server-tls"
_PORTS: Final = ("10251/tcp",)
_API: Final = "v1beta1.metrics.k8s.io"
_OWNER_LABEL: Final = "app.kubernetes.io/managed-by"


async def ensure(settings: Settings, plane: ControlPlane, report: Report) -> None:
    """Apply metrics-server, or remove it if the settings say so. Idempotent.

    It does not wait for the pod. A metrics-server that the user installed is left alone.

    Raises:
        ImageError: Its image could not be pushed.
        ClusterError: The API server rejected an object.
        KubeError: The API server cannot be reached.
    """
    async with plane.admin() as client:
        owner = await _owner(client)
        if owner not in (None, keys.GROUP):
            report(Progress(_NAME, f"another one serves {_API}: left alone", 1, 1))
        elif settings.metrics_server:
            await _apply(client, settings, report)
        elif owner is not None:
            await _remove(client)


async def _owner(client: Client) -> str | None:
    """Return who serves the API, empty if that is not said; None if nothing serves it."""
    try:
        found = await client.get(APIService, _API)
    except NotFoundError:
        return None
    return labels_of(found).get(_OWNER_LABEL, "")


async def _apply(client: Client, settings: Settings, report: Report) -> None:
    report(Progress(_NAME, "image"))
    programs = access.administrator(settings).components
    version = module_version(_NAME, _MODULE).removeprefix("v")
    archive = await build_program_image(programs / _NAME, version, settings, report, ports=_PORTS)
    registry = access.registry(settings)
    image = await push(archive, registry.url, socket=registry.socket)
    authority = await certificate.provide(client, _CERTIFICATE, _NAME, dt.datetime.now(dt.UTC))
    await objects.apply(client, _manifests(image, authority))
    report(Progress(_NAME, "its pod starts", 1, 1))


async def _remove(client: Client) -> None:
    every = _manifests("none", b"")
    # Last, because it says whose the others are.
    service = [each for each in every if each["kind"] == "APIService"]
    others = [each for each in every if each not in service]
    await objects.remove(client, [*others, certificate.manifest(_CERTIFICATE)])
    await objects.remove(client, service)


def _manifests(image: str, authority: bytes) -> list[manifests.Manifest]:
    values = {"image": image, "authority": base64.b64encode(authority).decode()}
    return manifests.read(_NAME, values)
