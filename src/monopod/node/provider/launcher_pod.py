"""The launcher pod of a machine: its object, and what its status says of the machine. Pure."""

import enum
import shlex
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

import msgspec
from lightkube.models import core_v1 as models
from lightkube.models import meta_v1
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.api.metadata import labels_of, meta, name_of
from monopod.node.launcher.plan import (
    ADDRESS_VARIABLE,
    CONFIGURATION,
    DISKS,
    MACHINE_VARIABLE,
    SHARED,
    LauncherError,
    MachinePlan,
    decode,
)
from monopod.node.net.addresses import parse_address, vmm_uid
from monopod.node.provider import MachineExit, PlacementRequest
from monopod.node.provider.launcher_drivers import LauncherNeeds, needs
from monopod.node.provider.launcher_settings import LauncherSettings
from monopod.node.provider.settings import tables_mib
from monopod.node.vmm import gvisor
from monopod.node.vmm.launcher import PLATFORM_MILLI_CPU

MACHINE: Final = "machine"
"""The container that runs the VMM."""
NETWORK: Final = "network"
"""The container that makes the router."""
CONFIGURED: Final = "monopod.dev/configured"
"""Annotation of a launcher pod whose machine has its configuration disk: its driver."""
CONFIGURE: Final = (
    "/bin/sh",
    "-euc",
    f"umask 077; cat >{shlex.quote(str(CONFIGURATION))}.part;"
    f" mv {shlex.quote(str(CONFIGURATION))}.part {shlex.quote(str(CONFIGURATION))}",
)
"""Command that makes its standard input the machine's configuration disk."""
_USER: Final = 65_000
"""Of container ``machine`` in a user namespace."""
_PYTHON_MIB: Final = 64
_SHARED_MIB: Final = 16
_NETWORK_MIB: Final = 64
_SHM: Final = "/dev/shm"  # noqa: S108 - a volume of the pod's
_GRACE_S: Final = 2
_UNREACHABLE: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_INSTANCE: Final = "000000"


class Phase(enum.Enum):
    """How far a launcher pod is."""

    PENDING = "Pending"
    """It has no address yet."""
    PLACED = "Placed"
    """It has its address; its machine was not configured yet."""
    RUNNING = "Running"
    """Its machine was configured, and did not end."""
    ENDED = "Ended"
    """None of its containers will run again."""


@dataclass(frozen=True, slots=True)
class LauncherState:
    """What a launcher pod says of its machine."""

    name: str
    owner: str
    """Uid of the MicroVM object that it was made for."""
    phase: Phase
    why: str
    """What it waits for, for users."""
    unschedulable: bool = False
    """Whether the cluster's scheduler found no node for it."""
    address: IPv4Address | None = None
    host: str = ""
    """The node that it runs on."""
    driver: str = ""
    machine_runs: bool = False
    """Whether container ``machine`` runs."""
    deleted: bool = False
    """Whether it is being deleted."""
    ended: MachineExit | None = None


class _Ended(msgspec.Struct):
    reason: str
    message: str


def launcher_pod(wanted: PlacementRequest, driver: str, settings: LauncherSettings) -> Pod:
    """Return the launcher pod of a machine that runs under a driver."""
    size = wanted.size
    wants = needs(driver, size, settings)
    plan = MachinePlan(
        wanted.name,
        driver,
        size.milli_cpu,
        size.memory_mib,
        wanted.storage_gib,
        wanted.management_address,
    )
    return Pod(
        metadata=meta_v1.ObjectMeta(
            name=wanted.name,
            namespace=settings.namespace,
            labels={
                keys.MACHINE_LABEL: wanted.name,
                keys.POD_NAMESPACE_LABEL: wanted.namespace,
            },
            ownerReferences=[
                meta_v1.OwnerReference(
                    apiVersion=keys.API_VERSION,
                    kind="MicroVM",
                    name=wanted.name,
                    uid=wanted.uid,
                    controller=True,
                )
            ],
        ),
        spec=models.PodSpec(
            automountServiceAccountToken=False,
            enableServiceLinks=False,
            hostUsers=False if settings.user_namespaces else None,
            restartPolicy="Never",
            terminationGracePeriodSeconds=_GRACE_S,
            priorityClassName=settings.priority_class or None,
            nodeSelector={keys.OS_LABEL: "linux", keys.ZONE_LABEL: wanted.zone},
            tolerations=[
                models.Toleration(
                    key=key,
                    operator="Exists",
                    effect="NoExecute",
                    tolerationSeconds=settings.unreachable_s,
                )
                for key in _UNREACHABLE
            ],
            securityContext=models.PodSecurityContext(
                seccompProfile=models.SeccompProfile(type="RuntimeDefault")
            ),
            initContainers=[_network(plan, wants)],
            containers=[_machine(wanted, plan, wants, settings)],
            volumes=[
                _in_memory("shared", _SHARED_MIB),
                models.Volume(name="disks", emptyDir=models.EmptyDirVolumeSource()),
                *(_in_memory(each.name, wants.guest_memory_mib) for each in _memory(wants)),
            ],
        ),
    )


def _in_memory(name: str, size_mib: int) -> models.Volume:
    source = models.EmptyDirVolumeSource(medium="Memory", sizeLimit=f"{size_mib}Mi")
    return models.Volume(name=name, emptyDir=source)


def _memory(wants: LauncherNeeds) -> list[models.VolumeMount]:
    """Return where a VMM keeps its guest's memory in a file, if it does."""
    if not wants.guest_memory_mib:
        return []
    return [models.VolumeMount(name="memory", mountPath=_SHM)]


def _network(plan: MachinePlan, wants: LauncherNeeds) -> models.Container:
    """Return the container that makes the router: native sidecar, so it holds the pod open."""
    return models.Container(
        name=NETWORK,
        image=wants.image,
        imagePullPolicy="IfNotPresent",
        command=["/usr/bin/python3", "-m", "monopod.node.launcher.network"],
        env=_environment(plan),
        restartPolicy="Always",
        resources=models.ResourceRequirements(
            requests={"cpu": "10m", "memory": "16Mi"},
            limits={"memory": f"{_NETWORK_MIB}Mi", **dict.fromkeys(wants.network_devices, "1")},
        ),
        securityContext=models.SecurityContext(
            runAsUser=0,
            runAsGroup=0,
            allowPrivilegeEscalation=False,
            readOnlyRootFilesystem=True,
            capabilities=models.Capabilities(drop=["ALL"], add=["NET_ADMIN", "NET_RAW"]),
        ),
        volumeMounts=[_shared()],
    )


def _machine(
    wanted: PlacementRequest,
    plan: MachinePlan,
    wants: LauncherNeeds,
    settings: LauncherSettings,
) -> models.Container:
    size = wanted.size
    overhead_mib = settings.overhead_mib + wants.more_mib + tables_mib(size.memory_mib)
    requested_mib = size.memory_mib + overhead_mib
    most_mib = wants.most_mib + _PYTHON_MIB + _SHARED_MIB
    user = _USER if settings.user_namespaces else vmm_uid(_INSTANCE, wanted.management_address)
    whole = gvisor.processors(size.milli_cpu) * 1000
    return models.Container(
        name=MACHINE,
        image=wants.image,
        imagePullPolicy="IfNotPresent",
        command=["/usr/bin/python3", "-m", "monopod.node.launcher.machine"],
        env=_environment(plan),
        resources=models.ResourceRequirements(
            requests={
                "cpu": f"{size.milli_cpu + PLATFORM_MILLI_CPU}m",
                "memory": f"{requested_mib}Mi",
                "ephemeral-storage": f"{wanted.storage_gib}Gi",
            },
            limits={
                "cpu": cpu_limit(whole if settings.burst else size.milli_cpu),
                "memory": f"{max(most_mib, requested_mib)}Mi",
                "ephemeral-storage": f"{wanted.storage_gib + 1}Gi",
                **dict.fromkeys(wants.devices, "1"),
            },
        ),
        resizePolicy=[
            models.ContainerResizePolicy(resourceName="cpu", restartPolicy="NotRequired")
        ],
        securityContext=models.SecurityContext(
            runAsNonRoot=True,
            runAsUser=user,
            runAsGroup=user,
            allowPrivilegeEscalation=False,
            readOnlyRootFilesystem=True,
            capabilities=models.Capabilities(drop=["ALL"]),
            seccompProfile=models.SeccompProfile(type=wants.seccomp),
        ),
        volumeMounts=[
            _shared(),
            models.VolumeMount(name="disks", mountPath=str(DISKS)),
            *_memory(wants),
        ],
    )


def cpu_limit(milli_cpu: int) -> str:
    """Return the CPU limit of a machine that may use so much."""
    return f"{milli_cpu + PLATFORM_MILLI_CPU}m"


def _environment(plan: MachinePlan) -> list[models.EnvVar]:
    field = models.ObjectFieldSelector(fieldPath="status.podIP")
    return [
        models.EnvVar(name=ADDRESS_VARIABLE, valueFrom=models.EnvVarSource(fieldRef=field)),
        models.EnvVar(name=MACHINE_VARIABLE, value=plan.encode()),
        # The only place that both containers may write to.
        models.EnvVar(name="TMPDIR", value=str(SHARED)),
    ]


def _shared() -> models.VolumeMount:
    return models.VolumeMount(name="shared", mountPath=str(SHARED))


def plan_of(pod: Pod) -> MachinePlan | None:
    """Return the plan that a launcher pod has of its machine. None means that it is no launcher."""
    for container in pod.spec.containers if pod.spec else ():
        for variable in container.env or () if container.name == MACHINE else ():
            if variable.name == MACHINE_VARIABLE:
                with suppress(LauncherError):
                    return decode(variable.value or "")
    return None


def driver_of(pod: Pod) -> str:
    """Return the driver that a launcher pod was made for."""
    plan = plan_of(pod)
    return "" if plan is None else plan.driver


def read(pod: Pod) -> LauncherState:
    """Return what a launcher pod says of its machine."""
    metadata, status = meta(pod), pod.status or models.PodStatus()
    owners = [each.uid for each in metadata.ownerReferences or () if each.kind == "MicroVM"]
    name = labels_of(pod).get(keys.MACHINE_LABEL) or name_of(pod)
    containers = {each.name: each for each in status.containerStatuses or ()}
    state = containers[MACHINE].state if MACHINE in containers else None
    driver = (metadata.annotations or {}).get(CONFIGURED, "")
    address = parse_address(status.podIP)
    ended = _exit(name, status, state)
    if ended is not None:
        phase = Phase.ENDED
    elif driver:
        phase = Phase.RUNNING
    else:
        phase = Phase.PENDING if address is None else Phase.PLACED
    return LauncherState(
        name=name,
        owner=owners[0] if owners else "",
        phase=phase,
        why=_why(status),
        unschedulable=_unscheduled(status) is not None,
        address=address,
        host=(pod.spec.nodeName if pod.spec else None) or "",
        driver=driver,
        machine_runs=state is not None and state.running is not None,
        deleted=metadata.deletionTimestamp is not None,
        ended=ended,
    )


def _exit(
    name: str, status: models.PodStatus, state: models.ContainerState | None
) -> MachineExit | None:
    """Return how a machine ended; None if it may still run."""
    if state is not None and state.terminated is not None:
        ended = state.terminated
        try:
            said = msgspec.json.decode((ended.message or "").encode(), type=_Ended)
        except msgspec.DecodeError:
            if ended.reason == "OOMKilled":
                return MachineExit(name, "VmmOutOfMemory", "the VMM reached its memory limit")
            message = f"the launcher ended with {ended.exitCode}: {ended.reason or ''}"
            return MachineExit(name, "VmmKilled", message)
        return MachineExit(name, said.reason, said.message)
    if status.phase in {"Failed", "Succeeded"}:
        why = ": ".join(filter(None, (status.reason, status.message))) or "it gives no reason"
        return MachineExit(name, "LauncherFailed", f"its launcher pod ended: {why}")
    return None


def _why(status: models.PodStatus) -> str:
    """Return what a launcher pod waits for."""
    if (unscheduled := _unscheduled(status)) is not None:
        return f"its launcher pod is not scheduled: {unscheduled}"
    for each in (*(status.initContainerStatuses or ()), *(status.containerStatuses or ())):
        waiting = each.state.waiting if each.state else None
        if waiting is not None and waiting.reason != "PodInitializing":
            said = ": ".join(filter(None, (waiting.reason, waiting.message)))
            return f"container {each.name} of its launcher pod does not run: {said}"
    return "its launcher pod is being started"


def _unscheduled(status: models.PodStatus) -> str | None:
    """Return why the cluster's scheduler found no node. None means that it found one."""
    for each in status.conditions or ():
        if each.type == "PodScheduled" and each.status != "True":
            return each.message or each.reason or ""
    return None
