"""The machine of a pod: its size, host-side state and node."""

from collections.abc import Iterator
from typing import Final

from monopod.api import conditions, constants, keys
from monopod.explain.findings import Finding, Section, bad, good, plain
from monopod.explain.snapshot import Snapshot
from monopod.fargate.sizing import Size
from monopod.kube import labels_of, meta, name_of

_TITLE: Final = "Machine"


def section(snapshot: Snapshot) -> Section | None:
    """Describe the pod's machine; None for a pod that has none and needs none."""
    if snapshot.machine is None and not snapshot.on_fargate:
        return None
    return Section(_TITLE, tuple(_findings(snapshot)))


def _findings(snapshot: Snapshot) -> Iterator[Finding]:
    machine = snapshot.machine
    if machine is None:
        if snapshot.bound_to:
            yield bad("there is no MicroVM for this pod any more")
        else:
            yield plain("there is no MicroVM for this pod yet")
        return
    spec, status = machine.spec, machine.status
    size = Size.of(spec)
    yield plain(f"{name_of(machine)}: {size}, {spec.ephemeralStorageGiB} GiB of storage")
    if meta(machine).deletionTimestamp is not None:
        yield bad("it is being removed")
    if status is None:
        yield plain("the MicroVM controller has not processed it yet")
        return
    if status.driver:
        attempts = f", {status.attempts} launches" if status.attempts > 1 else ""
        yield plain(f"driver {status.driver}{attempts}")
    chosen = conditions.find_condition(status.conditions, constants.HARDWARE_VIRTUALIZED)
    if chosen is not None and chosen.message:
        yield plain(chosen.message)
    if status.managementAddress:
        yield plain(
            f"pod address {status.podAddress}, management address {status.managementAddress}"
        )
    if status.nodeName:
        yield from _node(snapshot, status.nodeName)
    for condition in status.conditions:
        if condition.type == constants.HARDWARE_VIRTUALIZED:
            continue
        if condition.status == conditions.FALSE and condition.message:
            yield bad(f"{condition.type}: {condition.reason}: {condition.message}")


def _node(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    node = snapshot.node
    if node is None:
        yield plain(f"node {name}: does not exist")
        return
    ready = conditions.find_condition(node.status.conditions if node.status else None, "Ready")
    info = node.status.nodeInfo if node.status else None
    about = f", kernel {info.kernelVersion}, kubelet {info.kubeletVersion}" if info else ""
    if ready is None:
        yield plain(f"node {name}: its kubelet has not reported yet")
    elif ready.status == conditions.TRUE:
        yield good(f"node {name}: ready{about}")
    else:
        yield bad(f"node {name}: {ready.reason}: {ready.message}")
    owner = labels_of(node).get(keys.MACHINE_LABEL)
    machine = name_of(snapshot.machine) if snapshot.machine else None
    if owner is not None and owner != machine:
        yield bad(f"this node belongs to {owner}")
