"""Reconciles TargetGroupBindings, which expose target groups to readiness gates and to users."""

from collections.abc import Iterable, Sequence

from lightkube.models.meta_v1 import ObjectMeta, OwnerReference

from monopod.api.target_groups import ServiceReference, TargetGroupBinding, TargetGroupBindingSpec
from monopod.controllers.loadbalancer.desired import DesiredLoadBalancer, balancer_name
from monopod.controllers.loadbalancer.model import TargetGroup
from monopod.kube import (
    AlreadyExistsError,
    Client,
    Key,
    NotFoundError,
    key_of,
    key_parts,
    labels_of,
    make_key,
    meta,
    name_of,
    uid_of,
    with_type,
)

LABEL = "monopod.dev/balancer"
"""The label of our own bindings; its value is the load balancer's name."""


def binding_key(balancer: str, group: TargetGroup) -> Key:
    """Return the key of a target group's binding; its name is also that of the readiness gate."""
    namespace, name = key_parts(group.service)
    unique = f"{balancer}/{group.name}"
    return make_key(balancer_name(namespace or "", name, unique=unique), namespace)


def bindings(wanted: Iterable[DesiredLoadBalancer]) -> dict[Key, TargetGroupBinding]:
    """Return the desired bindings of all target groups, by their keys. Pure."""
    return {
        binding_key(each.name, group): _binding(each, group)
        for each in wanted
        for group in each.groups
        if group.service
    }


async def keep(
    client: Client, wanted: dict[Key, TargetGroupBinding], there: Sequence[TargetGroupBinding]
) -> None:
    """Create and delete our bindings to match the desired ones; others' are left alone.

    Raises:
        KubeError: The API server rejected a change.
    """
    ours = {key_of(each) for each in there if LABEL in labels_of(each)}
    for key in wanted.keys() - ours:
        try:
            await client.create(wanted[key])
        except AlreadyExistsError:
            continue
    for key in ours - wanted.keys():
        namespace, name = key_parts(key)
        try:
            await client.delete(TargetGroupBinding, name, namespace)
        except NotFoundError:
            continue


def _binding(wanted: DesiredLoadBalancer, group: TargetGroup) -> TargetGroupBinding:
    namespace, service = key_parts(group.service)
    _, name = key_parts(binding_key(wanted.name, group))
    owners = [
        OwnerReference(
            apiVersion=with_type(owner).apiVersion or "",
            kind=with_type(owner).kind or "",
            name=name_of(owner),
            uid=uid_of(owner),
        )
        for owner in wanted.owners
        if meta(owner).namespace == namespace
    ]
    return TargetGroupBinding(
        metadata=ObjectMeta(
            name=name, namespace=namespace, labels={LABEL: wanted.name}, ownerReferences=owners
        ),
        spec=TargetGroupBindingSpec(ServiceReference(service, group.service_port), group.name),
    )
