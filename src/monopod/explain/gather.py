"""Reads the snapshot that an explanation is made from. The only I/O of this package."""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Final, TypeVar

from lightkube.core import resource as res
from lightkube.resources.core_v1 import Event, Node, Pod

from monopod.api.names import machine_name
from monopod.api.resources import FargateProfile, MicroVM, Subnet, Vpc
from monopod.errors import MonopodError
from monopod.explain.snapshot import Snapshot, Warned
from monopod.kube import Client, NotFoundError, name_of, namespace_of, uid_of

_T = TypeVar("_T", bound=res.Resource)
_SUGGESTED: Final = 5


class ExplainError(MonopodError):
    """There is nothing to explain."""


class UnknownPodError(ExplainError):
    """No pod has this name in this namespace; the message names namespaces that have one."""


async def gather(client: Client, namespace: str, name: str, now: datetime) -> Snapshot:
    """Read a pod and all objects that its placement depends on.

    Raises:
        UnknownPodError: The pod does not exist.
        KubeError: The API server rejected a request or was unreachable.
    """
    try:
        pod = await client.get(Pod, name, namespace)
    except NotFoundError:
        raise UnknownPodError(await _unknown(client, namespace, name)) from None
    uid = uid_of(pod)
    profiles, subnets, vpcs, machine, events = await asyncio.gather(
        client.list(FargateProfile),
        client.list(Subnet),
        client.list(Vpc),
        _get(client, MicroVM, machine_name(uid)),
        _warnings(client, uid),
    )
    if machine is not None and machine.spec.podRef.uid != uid:
        machine = None
    node_name = (pod.spec.nodeName if pod.spec else None) or (
        machine.status_or_empty.nodeName if machine is not None else ""
    )
    return Snapshot(
        pod=pod,
        profiles=profiles.items,
        subnets=subnets.items,
        machine=machine,
        node=await _get(client, Node, node_name) if node_name else None,
        warnings=newest_first((*events, *(await _machine_warnings(client, machine)))),
        now=now,
        vpcs=vpcs.items,
    )


def newest_first(events: Iterable[Event]) -> tuple[Warned, ...]:
    """Sort warnings, the newest first."""
    warned = [_warned(event) for event in events]
    dated = sorted(
        (w for w in warned if w.last), key=lambda w: w.last or datetime.min, reverse=True
    )
    return (*dated, *(each for each in warned if not each.last))


def _warned(event: Event) -> Warned:
    series = event.series
    source = event.source.component if event.source else None
    return Warned(
        last=(series.lastObservedTime if series else None)
        or event.lastTimestamp
        or event.eventTime
        or event.firstTimestamp,
        reason=event.reason or "",
        message=event.message or "",
        count=(series.count if series and series.count else None) or event.count or 1,
        source=event.reportingComponent or source or "",
    )


async def _machine_warnings(client: Client, machine: MicroVM | None) -> tuple[Event, ...]:
    return () if machine is None else await _warnings(client, uid_of(machine))


async def _warnings(client: Client, uid: str) -> tuple[Event, ...]:
    found = await client.list(Event, fields=f"involvedObject.uid={uid},type=Warning")
    return found.items


async def _get(client: Client, kind: type[_T], name: str) -> _T | None:
    try:
        return await client.get(kind, name)
    except NotFoundError:
        return None


async def _unknown(client: Client, namespace: str, name: str) -> str:
    said = f"there is no pod {name} in namespace {namespace}"
    elsewhere = await client.list(Pod, fields=f"metadata.name={name}")
    if elsewhere.items:
        places = ", ".join(sorted(namespace_of(pod) for pod in elsewhere.items))
        return f"{said}; there is one in {places}: name it with -n"
    here = await client.list(Pod, namespace)
    names = sorted(name_of(pod) for pod in here.items)
    close = [each for each in names if each.startswith(name)] or names
    if not close:
        return f"{said}, which has no pods"
    more = ", ..." if len(close) > _SUGGESTED else ""
    return f"{said}; there are {', '.join(close[:_SUGGESTED])}{more}"
