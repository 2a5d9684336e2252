"""Unsupported fields of a pod as a whole: those that the guest's kubelet rejects permanently.

Source: the admission handlers of Kubernetes 1.37's kubelet (pkg/kubelet/sysctl, pkg/kubelet/
lifecycle, pkg/security/apparmor), with the guest's configuration: no unsafe sysctl allowed, no
AppArmor, no swap, CPU manager policy ``none``.
"""

from collections.abc import Callable, Iterator
from typing import Final

from lightkube.models.core_v1 import PodSpec
from lightkube.resources.core_v1 import Pod
from lightkube.resources.node_v1 import RuntimeClass

from monopod.api import keys
from monopod.api.metadata import annotations_of, labels_of, name_of, namespace_of
from monopod.fargate.unsupported.containers import confinement_faults, every

RuntimeClasses = Callable[[str], RuntimeClass | None]
"""Looks up a RuntimeClass by name, in its current state."""

_LINUX: Final = "linux"
_SYSCTLS: Final = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_notsent_lowat",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_slow_start_after_idle",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
"""Kubernetes' safe sysctls, which guest kernels have (pkg/kubelet/sysctl/safe_sysctls.go)."""
_LONGEST_NAME: Final = 64
"""Maximum length of a host name."""
_SWAPPED: Final = str.maketrans("./", "/.")


def security_faults(pod: Pod, spec: PodSpec) -> Iterator[str]:
    """Yield the unsupported fields of a pod's security context."""
    context = spec.securityContext
    if context is not None:
        yield from (
            f"Sysctls: {each.name}"
            for each in context.sysctls or ()
            if _dotted(each.name) not in _SYSCTLS
        )
        yield from confinement_faults(context)
    yield from _apparmor_annotations(pod, spec)


def runtime_fault(spec: PodSpec, classes: RuntimeClasses | None) -> str | None:
    """Return what is wrong with a pod's RuntimeClass; None if nothing is.

    Args:
        spec: The pod's spec.
        classes: Looks it up; None skips the check. A class that is not found passes too: the API
            server rejects pods that name a nonexistent one.
    """
    name = spec.runtimeClassName
    found = classes(name) if name and classes is not None else None
    if found is None or found.handler in keys.RUNTIME_HANDLERS:
        return None
    served = " or ".join(sorted(keys.RUNTIME_HANDLERS))
    return f"RuntimeClassName: {name} (its handler is {found.handler}; machines serve {served})"


def name_fault(pod: Pod, spec: PodSpec) -> str | None:
    """Return why a pod's FQDN cannot be its host name; None if it can.

    A kubelet creates no sandbox for a pod whose host name exceeds Linux' limit
    (pkg/kubelet/kubelet_pods.go, GeneratePodHostNameAndDomain).
    """
    host = spec.hostname or name_of(pod)
    # A workload's pods have no names yet.
    if not spec.setHostnameAsFQDN or not spec.subdomain or not host or spec.hostnameOverride:
        return None
    short = host[: _LONGEST_NAME - 1].rstrip("-.")
    name = f"{short}.{spec.subdomain}.{namespace_of(pod)}.svc.{keys.CLUSTER_DOMAIN}"
    if len(name) <= _LONGEST_NAME:
        return None
    return f"SetHostnameAsFQDN: {name} (has {len(name)} characters; at most {_LONGEST_NAME})"


def foreign_labels(pod: Pod) -> Iterator[str]:
    """Yield labels by which a kubelet rejects a pod as another operating system's."""
    system = labels_of(pod).get(keys.OS_LABEL, _LINUX)
    if system != _LINUX:
        yield f"{keys.OS_LABEL}={system}"


def _dotted(sysctl: str) -> str:
    """Return a sysctl's name with dots as separators; ``sysctl(8)`` accepts both forms."""
    separators = [mark for mark in sysctl if mark in "./"]
    return sysctl.translate(_SWAPPED) if separators[:1] == ["/"] else sysctl


def _apparmor_annotations(pod: Pod, spec: PodSpec) -> Iterator[str]:
    """Yield AppArmor profiles set by annotation only, as before Kubernetes 1.30."""
    said = {
        each.name
        for each in every(spec)
        if each.securityContext is not None and each.securityContext.appArmorProfile is not None
    }
    for key, value in annotations_of(pod).items():
        container = key.removeprefix(keys.APPARMOR_ANNOTATION_PREFIX)
        if container == key or container in said or value == "unconfined":
            continue
        kind = "RuntimeDefault" if value == "runtime/default" else value
        yield f"AppArmorProfile: {'Localhost' if value.startswith('localhost/') else kind}"
