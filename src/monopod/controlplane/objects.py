"""Writes manifests to the API server, and removes those of earlier versions. Idempotent."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from lightkube.core.resource import Resource, api_info
from lightkube.resources.admissionregistration_v1 import (
    MutatingWebhookConfiguration,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
    ValidatingWebhookConfiguration,
)
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.apiregistration_v1 import APIService
from lightkube.resources.apps_v1 import DaemonSet, Deployment
from lightkube.resources.batch_v1 import CronJob, Job
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import ConfigMap, Namespace, Secret, Service, ServiceAccount
from lightkube.resources.discovery_v1 import EndpointSlice
from lightkube.resources.flowcontrol_apiserver_v1 import FlowSchema, PriorityLevelConfiguration
from lightkube.resources.networking_v1 import IngressClass, IPAddress
from lightkube.resources.node_v1 import RuntimeClass
from lightkube.resources.policy_v1 import PodDisruptionBudget
from lightkube.resources.rbac_authorization_v1 import (
    ClusterRole,
    ClusterRoleBinding,
    Role,
    RoleBinding,
)

from monopod.api.resources import ExecutionRole, FargateProfile, Subnet, Vpc
from monopod.api.security_groups import SecurityGroup
from monopod.controlplane.errors import ClusterError
from monopod.controlplane.manifests import Manifest
from monopod.kube import Client, InvalidError, KubeError, NotFoundError, PatchType, TransientError
from monopod.util.concurrency import run_concurrently

_KINDS: Final[tuple[type[Resource], ...]] = (
    APIService,
    ClusterRole,
    ClusterRoleBinding,
    ConfigMap,
    CronJob,
    CustomResourceDefinition,
    DaemonSet,
    Deployment,
    EndpointSlice,
    ExecutionRole,
    FargateProfile,
    FlowSchema,
    IngressClass,
    Lease,
    Job,
    MutatingWebhookConfiguration,
    Namespace,
    PodDisruptionBudget,
    PriorityLevelConfiguration,
    Role,
    RoleBinding,
    RuntimeClass,
    Secret,
    SecurityGroup,
    Service,
    ServiceAccount,
    Subnet,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
    ValidatingWebhookConfiguration,
    Vpc,
)
_SERVED_WITHIN_S: Final = 20.0
_POLL_S: Final = 0.05
_AT_ONCE: Final = 8


async def apply(client: Client, manifests: Sequence[Manifest]) -> None:
    """Apply these objects; fields of other owners are left alone.

    Raises:
        ClusterError: The API server rejected one; names it and the reason.
    """
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(manifest: Manifest) -> None:
        async with slots:
            await _apply_one(client, manifest)

    await run_concurrently(*(one(manifest) for manifest in manifests))


async def provide(client: Client, manifests: Sequence[Manifest]) -> None:
    """Create the objects that do not exist; leave the others alone.

    Raises:
        ClusterError: The API server rejected one; names it and the reason.
    """
    for manifest in manifests:
        metadata: dict[str, Any] = manifest["metadata"]
        try:
            await client.get(_class_of(manifest), metadata["name"], metadata.get("namespace"))
        except NotFoundError:
            await _apply_one(client, manifest)
        except KubeError as error:
            raise _refused(manifest, error) from error


async def remove(client: Client, manifests: Sequence[Manifest]) -> None:
    """Delete these objects. Idempotent.

    Raises:
        ClusterError: The API server rejected it; names the object and the reason.
    """

    async def one(manifest: Manifest) -> None:
        metadata: dict[str, Any] = manifest["metadata"]
        try:
            await client.delete(_class_of(manifest), metadata["name"], metadata.get("namespace"))
        except NotFoundError:
            return
        except KubeError as error:
            raise _refused(manifest, error) from error

    await run_concurrently(*(one(manifest) for manifest in manifests))


async def _apply_one(client: Client, manifest: Manifest) -> None:
    metadata: dict[str, Any] = manifest["metadata"]
    kind = _class_of(manifest)
    deadline = time.monotonic() + _SERVED_WITHIN_S
    while True:
        try:
            await client.patch(
                kind,
                metadata["name"],
                manifest,
                metadata.get("namespace"),
                kind_of_patch=PatchType.APPLY,
                force=True,
            )
        except (NotFoundError, TransientError) as error:
            # A kind whose CRD is not served yet, or a namespace that upstream has yet to create.
            if time.monotonic() > deadline:
                raise _refused(manifest, error) from error
            await asyncio.sleep(_POLL_S)
        except InvalidError as error:
            if time.monotonic() > deadline or not await _free_address(client, manifest):
                raise _refused(manifest, error) from error
            await asyncio.sleep(_POLL_S)
        except KubeError as error:
            raise _refused(manifest, error) from error
        else:
            return


async def _free_address(client: Client, manifest: Manifest) -> bool:
    """Free the address of a Service that was never created; return whether a retry may succeed.

    An API server that loses its caller between two writes keeps the address allocated, and frees it
    only after minutes.
    """
    address = manifest.get("spec", {}).get("clusterIP")
    if manifest["kind"] != Service.__name__ or not address:
        return False
    metadata: dict[str, Any] = manifest["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    try:
        spec = (await client.get(IPAddress, address)).spec
    except NotFoundError:
        return True
    parent = spec.parentRef if spec else None
    if parent is None or (parent.name, parent.namespace) != (name, namespace):
        return False
    try:
        await client.get(Service, name, namespace)
    except NotFoundError:
        await client.delete(IPAddress, address)
    return True


def _class_of(manifest: Manifest) -> type[Resource]:
    for kind in _KINDS:
        definition = api_info(kind).resource
        if (definition.api_version, definition.kind) == (manifest["apiVersion"], manifest["kind"]):
            return kind
    raise ClusterError(f"unknown manifest kind {manifest['apiVersion']} {manifest['kind']}")


def _refused(manifest: Manifest, error: KubeError) -> ClusterError:
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    return ClusterError(f"the API server rejected {name}: {error}")
