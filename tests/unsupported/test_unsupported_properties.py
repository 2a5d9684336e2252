"""For any pod: there is an answer, and no unsupported field is accepted.

What is unsupported is found a second time, by walking through the JSON that the pod came as.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightkube.resources.core_v1 import Pod

from monopod.fargate.unsupported import why_unsupported
from tests.framework.builders import storage

pytestmark = pytest.mark.unit

_DEFAULT = {
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
    "SYS_PTRACE",
}
_SERVED = {"configMap", "downwardAPI", "emptyDir", "image", "projected", "secret"}
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")

_text = st.sampled_from(["", "x"])
_flags = st.none() | st.booleans()
_names = st.sampled_from(["a", "nvidia.com/gpu", "cpu", "memory", "é" * 70, "SYS_ADMIN"])
_capability = st.sampled_from([*sorted(_DEFAULT), "SYS_ADMIN", "CAP_KILL", "kill", "ALL", ""])
_profile = st.none() | st.fixed_dictionaries(
    {"type": st.sampled_from(["RuntimeDefault", "Unconfined", "Localhost"])}
)
_confinement = {
    "appArmorProfile": _profile,
    "seccompProfile": _profile,
    "seLinuxOptions": st.none()
    | st.dictionaries(st.sampled_from(["level", "role", "type", "user"]), _text, max_size=2),
}
_sysctl = st.sampled_from(
    ["net.ipv4.tcp_syncookies", "net/ipv4/tcp_rmem", "net.core.somaxconn", "kernel/sem", "", "."]
)
_pod_security = st.none() | st.fixed_dictionaries(
    {},
    optional={
        **_confinement,
        "sysctls": st.none()
        | st.lists(_sysctl.map(lambda name: {"name": name, "value": "1"}), max_size=2),
    },
)
_security = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "privileged": _flags,
        "allowPrivilegeEscalation": _flags,
        **_confinement,
        "capabilities": st.fixed_dictionaries(
            {}, optional={"add": st.none() | st.lists(_capability, max_size=3)}
        ),
    },
)
_ports = st.lists(
    st.fixed_dictionaries(
        {"containerPort": st.integers(1, 65535)},
        optional={
            "hostPort": st.none() | st.integers(0, 65535),
            "hostIP": st.none() | st.sampled_from(["", "10.0.0.1", "::1"]),
        },
    ),
    max_size=2,
)
_amounts = st.none() | st.dictionaries(_names, st.just("1"), max_size=2)
_resources = st.none() | st.fixed_dictionaries(
    {}, optional={"requests": _amounts, "limits": _amounts}
)
_container = st.fixed_dictionaries(
    {"name": _names},
    optional={
        "securityContext": _security,
        "ports": st.none() | _ports,
        "resources": _resources,
        "restartPolicy": st.sampled_from(["Always", "Never"]),
    },
)
_source = st.sampled_from(
    [
        {},
        {"emptyDir": {}},
        {"emptyDir": {"medium": "HugePages-1Gi"}},
        {"secret": {}},
        {"hostPath": {"path": "/"}},
        {"csi": {"driver": "d"}},
        {"unheardOf": {}},
    ]
)
_spec = st.fixed_dictionaries(
    {"containers": st.lists(_container, max_size=3)},
    optional={
        "initContainers": st.none() | st.lists(_container, max_size=2),
        "ephemeralContainers": st.none() | st.lists(_container, max_size=2),
        "hostNetwork": _flags,
        "hostPID": _flags,
        "hostIPC": _flags,
        "securityContext": _pod_security,
        "resources": _resources,
        "volumes": st.none()
        | st.lists(
            st.tuples(_names, _source).map(lambda each: {"name": each[0], **each[1]}), max_size=3
        ),
    },
)


def _of_container(container: dict[str, Any]) -> Iterator[str]:
    context = container.get("securityContext") or {}
    yield from _confined(context)
    if context.get("privileged"):
        yield "Privileged"
    if context.get("allowPrivilegeEscalation"):
        yield "AllowPrivilegeEscalation"
    for name in (context.get("capabilities") or {}).get("add") or ():
        if name not in _DEFAULT:
            yield f"Capabilities added: {name}"
    if any(port.get("hostPort") or port.get("hostIP") for port in container.get("ports") or ()):
        yield "port contains HostIP or HostPort"
    yield from _devices(container.get("resources"))


def _expected(spec: dict[str, Any]) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield field[0].upper() + field[1:]
    context = spec.get("securityContext") or {}
    for sysctl in context.get("sysctls") or ():
        if sysctl["name"] not in ("net.ipv4.tcp_syncookies", "net/ipv4/tcp_rmem"):
            yield f"Sysctls: {sysctl['name']}"
    yield from _confined(context)
    for where in _CONTAINERS:
        for each in spec.get(where) or ():
            yield from _of_container(each)
    yield from _devices(spec.get("resources"))
    for volume in spec.get("volumes") or ():
        if not _SERVED & set(volume):
            yield f"{volume['name']} is of an unsupported volume Type"
        if (volume.get("emptyDir") or {}).get("medium"):
            yield f"{volume['name']} not supported because: medium HugePages-1Gi"


def _confined(context: dict[str, Any]) -> Iterator[str]:
    apparmor, seccomp = (context.get(f"{name}Profile") or {} for name in ("appArmor", "seccomp"))
    if apparmor.get("type") in ("RuntimeDefault", "Localhost"):
        yield f"AppArmorProfile: {apparmor['type']}"
    if any((context.get("seLinuxOptions") or {}).get(name) for name in ("user", "role", "type")):
        yield "SELinuxOptions"
    if seccomp.get("type") == "Localhost":
        yield "SeccompProfile: Localhost"


def _devices(resources: dict[str, Any] | None) -> Iterator[str]:
    for amounts in (resources or {}).values():
        for name in amounts or ():
            if name not in ("cpu", "memory", "ephemeral-storage"):
                yield name


@pytest.mark.row("S10")
@pytest.mark.row("S11")
@pytest.mark.row("S13")
@given(_spec)
def test_nothing_unsupported_slips_through(spec: dict[str, Any]) -> None:
    said = why_unsupported(msgspec.convert({"spec": spec}, Pod), storage())
    expected = list(_expected(spec))
    assert (said is None) == (not expected)
    for part in expected:
        assert part in (said or "")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_spec, st.dictionaries(st.sampled_from(["x", "tolerations", "affinity"]), _json))
def test_any_pod_that_can_be_decoded_gets_an_answer(
    spec: dict[str, Any], more: dict[str, Any]
) -> None:
    try:
        pod = msgspec.convert({"spec": spec | more}, Pod)
    except msgspec.ValidationError:
        return
    assert why_unsupported(pod, storage()) is None or why_unsupported(pod, storage())
