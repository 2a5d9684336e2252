"""Manifests of both tenants. Pure."""

import secrets
from datetime import UTC, datetime
from typing import Any, Final

from lightkube.models import core_v1 as core
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import RoleRef, Subject
from lightkube.resources.core_v1 import Event, Pod, Service, ServiceAccount
from lightkube.resources.rbac_authorization_v1 import RoleBinding

from monopod.bench import phases
from monopod.bench.network.manifests import INTERNAL, network_balancer
from monopod.bench.pods import bench_pod

USER: Final = "tenant"
"""The service account that a tenant's clients use."""
_DATA: Final = "/data"
_NO_POD: Final = {"monopod.dev/bench-none": "true"}


def user(namespace: str) -> tuple[ServiceAccount, RoleBinding]:
    """Return a tenant's service account, which may edit its namespace."""
    metadata = ObjectMeta(name=USER, namespace=namespace)
    group = "rbac.authorization.k8s.io"
    binding = RoleBinding(
        metadata=metadata,
        roleRef=RoleRef(apiGroup=group, kind="ClusterRole", name="edit"),
        subjects=[Subject(kind="ServiceAccount", name=USER, namespace=namespace)],
    )
    return ServiceAccount(metadata=metadata), binding


def hostile_pod(name: str, namespace: str, image: str, gib: int, target: str) -> Pod:
    """Return a pod that fills its disk, up to a size, and tables of connections."""
    container = core.Container(
        name="main",
        image=image,
        args=[_DATA, str(gib), target],
        volumeMounts=[core.VolumeMount(name="data", mountPath=_DATA)],
    )
    pod = bench_pod(name, namespace, phases.Subject(phases.Kind.MICROVM), container)
    if pod.spec is not None:
        pod.spec.volumes = [core.Volume(name="data", emptyDir=core.EmptyDirVolumeSource())]
    return pod


def small_pod(name: str, namespace: str) -> Pod:
    """Return a pod that does nothing, and whose machine boots."""
    return bench_pod(name, namespace, phases.Subject(phases.Kind.MICROVM))


def balancer(name: str, namespace: str) -> Service:
    """Return a Service with a load balancer and without targets."""
    return network_balancer(name, namespace, _NO_POD, INTERNAL)


def event(namespace: str) -> Event:
    """Return an event about nothing."""
    name = f"noise.{secrets.token_hex(8)}"
    return Event(
        metadata=ObjectMeta(name=name, namespace=namespace),
        involvedObject=core.ObjectReference(kind="Pod", name="noise", namespace=namespace),
        reason="Noise",
        message="x" * 1000,
        type="Normal",
        firstTimestamp=datetime.now(UTC),
        lastTimestamp=datetime.now(UTC),
        count=1,
    )


def kubeconfig(server: str, authority: str, namespace: str, token: str) -> dict[str, Any]:
    """Return the kubeconfig of a tenant's user."""
    name = "tenant"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority": authority}}
        ],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}
        ],
        "current-context": name,
    }
