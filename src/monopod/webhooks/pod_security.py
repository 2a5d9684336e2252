"""The default Pod Security level of pods that kube-scheduler or their users place on worker nodes.

Upstream's admission plugin knows namespaces, users and RuntimeClasses, not schedulers: a default
there would also refuse, at their creation, Fargate pods that AWS accepts and leaves pending. So
this policy has upstream's checks of level ``baseline`` for all other pods; a test compares the two.
A namespace with a label of its level is left to upstream's plugin.
"""

from typing import Final

from monopod.api import keys
from monopod.settings import PodSecurityLevel
from monopod.webhooks.policy import Manifest, policy

NAME: Final = "monopod-pod-security"
LABEL: Final = "pod-security.kubernetes.io/enforce"
_CAPABILITIES: Final = (
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
    *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)
_SELINUX_TYPES: Final = (
    *("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"),
)
_SYSCTLS: Final = (
    "kernel.shm_rmid_forced",
    *(
        f"net.ipv4.{name}"
        for name in (
            *("ip_local_port_range", "tcp_syncookies", "ping_group_range"),
            *("ip_unprivileged_port_start", "ip_local_reserved_ports", "tcp_keepalive_time"),
            *("tcp_fin_timeout", "tcp_keepalive_intvl", "tcp_keepalive_probes", "tcp_rmem"),
            *("tcp_wmem", "tcp_slow_start_after_idle", "tcp_notsent_lowat"),
        )
    ),
)
_APPARMOR_ANNOTATION: Final = "container.apparmor.security.beta.kubernetes.io/"


def manifests(level: PodSecurityLevel) -> list[Manifest]:
    """Return the policy and its binding; at the level ``privileged`` it only warns."""
    contexts = {
        "privileged containers": "!each.?privileged.orValue(false)",
        f"capabilities beyond {', '.join(_CAPABILITIES)}": "each.?capabilities.?add.orValue([])"
        f".all(name, name in {list(_CAPABILITIES)})",
        "procMount": "each.?procMount.orValue('Default') == 'Default'"
        " || !object.spec.?hostUsers.orValue(true)",
    }
    either = {
        "Windows host processes": "!each.?windowsOptions.?hostProcess.orValue(false)",
        "seccomp profile Unconfined": "each.?seccompProfile.?type.orValue('') != 'Unconfined'",
        "AppArmor profile Unconfined": "each.?appArmorProfile.?type.orValue('RuntimeDefault')"
        " in ['RuntimeDefault', 'Localhost']",
        "SELinux options": "each.?seLinuxOptions.?type.orValue('')"
        f" in {list(_SELINUX_TYPES)}"
        " && each.?seLinuxOptions.?user.orValue('') == ''"
        " && each.?seLinuxOptions.?role.orValue('') == ''",
    }
    pod = {
        "hostNetwork, hostPID and hostIPC": "!object.spec.?hostNetwork.orValue(false)"
        " && !object.spec.?hostPID.orValue(false) && !object.spec.?hostIPC.orValue(false)",
        "hostPath volumes": "object.spec.?volumes.orValue([]).all(each, !has(each.hostPath))",
        "host ports": "variables.containers.all(each,"
        " each.?ports.orValue([]).all(port, port.?hostPort.orValue(0) == 0))",
        "hosts in probes and lifecycle hooks": "variables.handlers.all(each,"
        " each.?httpGet.?host.orValue('') == '' && each.?tcpSocket.?host.orValue('') == '')",
        f"sysctls beyond {', '.join(_SYSCTLS)}": "object.spec.?securityContext.?sysctls"
        f".orValue([]).all(each, each.name in {list(_SYSCTLS)})",
        "AppArmor annotations": "object.metadata.?annotations.orValue({}).all(key,"
        f" !key.startsWith('{_APPARMOR_ANNOTATION}') ||"
        " object.metadata.annotations[key] in ['', 'runtime/default'] ||"
        " object.metadata.annotations[key].startsWith('localhost/'))",
        **{
            what: f"variables.contexts.all(each, {expression})"
            for what, expression in contexts.items()
        },
        **{
            what: f"variables.contexts.all(each, {expression}) &&"
            f" [object.spec.?securityContext].all(own, !own.hasValue() ||"
            f" [own.value()].all(each, {expression}))"
            for what, expression in either.items()
        },
    }
    return policy(
        NAME,
        ["pods", "pods/ephemeralcontainers"],
        [
            {
                "expression": expression,
                "message": f"Pod Security level baseline of worker nodes: not allowed: {what}."
                f" An administrator may label the namespace {LABEL}=privileged",
            }
            for what, expression in pod.items()
        ],
        operations=("CREATE", "UPDATE"),
        conditions={
            # With a node named, it is that node's kubelet which runs it; fargate-scheduler, which
            # would refuse it, never sees it.
            "not-fargate": f"object.spec.?schedulerName.orValue('') != '{keys.SCHEDULER_NAME}' ||"
            " (oldObject == null && object.spec.?nodeName.orValue('') != '')",
            "new": "oldObject == null || request.subResource == 'ephemeralcontainers'",
        },
        variables={
            "containers": "object.spec.containers + object.spec.?initContainers.orValue([])"
            " + object.spec.?ephemeralContainers.orValue([])",
            "contexts": "variables.containers.filter(each, has(each.securityContext))"
            ".map(each, each.securityContext)",
            "handlers": "variables.containers.map(each, [each.?livenessProbe,"
            " each.?readinessProbe, each.?startupProbe, each.?lifecycle.?postStart,"
            " each.?lifecycle.?preStop].filter(one, one.hasValue()).map(one, one.value()))"
            ".flatten()",
        },
        actions=("Deny",) if level == "baseline" else ("Warn",),
        namespaces={
            "matchExpressions": [
                {"key": LABEL, "operator": "DoesNotExist"},
                {
                    "key": "kubernetes.io/metadata.name",
                    "operator": "NotIn",
                    "values": sorted(keys.SYSTEM_NAMESPACES),
                },
            ]
        },
    )
