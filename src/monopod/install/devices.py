"""The device plug-in as a DaemonSet, for drivers that need devices of their hosts. Pure.

Nothing else of Monopod is on every host. A privileged init container boots a guest of Monopod's own
to know whether KVM works, and ends; the plug-in that stays can make device nodes, and nothing more.
"""

from pathlib import Path
from typing import Final

from monopod.api import keys
from monopod.install.accounts import Manifest
from monopod.install.values import Setting, Values
from monopod.install.workloads import COMPONENT, LABELS
from monopod.node.devices.settings import NAMESPACE, DeviceSettings
from monopod.node.launcher.plan import DEVICES

NAME: Final = "monopod-devices"
_SELECTOR: Final = {**LABELS, COMPONENT: "devices"}
_ANSWER: Final = "answer"
_UNREADY: Final = "node.kubernetes.io/not-ready"


def plugin(values: Values) -> Manifest:
    """Return the DaemonSet."""
    settings = DeviceSettings.model_fields
    directory, answer = (str(settings[name].default) for name in ("directory", "answer"))
    nodes = str(DEVICES)
    answers = _mount(_ANSWER, str(Path(answer).parent))
    port: int = settings["metrics_port"].default
    template = {
        "metadata": {"labels": dict(_SELECTOR)},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "priorityClassName": "system-node-critical",
            "imagePullSecrets": values.image_pull_secrets,
            "nodeSelector": {keys.OS_LABEL: "linux"},
            "tolerations": [{"key": _UNREADY, "operator": "Exists"}],
            "initContainers": [
                {
                    **_container("probe", "monopod.node.devices.probe", values),
                    # For /dev/kvm, which no plug-in offers yet.
                    "securityContext": {"privileged": True, "runAsUser": 0},
                    "volumeMounts": [answers],
                }
            ],
            "containers": [
                {
                    **_container("plugin", "monopod.node.devices", values),
                    "securityContext": {
                        "runAsUser": 0,
                        "runAsGroup": 0,
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"], "add": ["MKNOD"]},
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "readinessProbe": {"httpGet": {"path": "/readyz", "port": port}},
                    "volumeMounts": [
                        {**answers, "readOnly": True},
                        _mount("kubelet", directory),
                        _mount("nodes", nodes),
                    ],
                }
            ],
            "volumes": [
                {"name": _ANSWER, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                {"name": "kubelet", "hostPath": {"path": directory, "type": "Directory"}},
                {"name": "nodes", "hostPath": {"path": nodes, "type": "DirectoryOrCreate"}},
            ],
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": dict(LABELS)},
        "spec": {"selector": {"matchLabels": dict(_SELECTOR)}, "template": template},
    }


def _container(name: str, module: str, values: Values) -> Manifest:
    environment: dict[str, Setting] = {
        "MONOPOD_LOG_LEVEL": values.log_level,
        "MONOPOD_METRICS_ADDRESS": "0.0.0.0",  # noqa: S104 - the pod's
        "HOME": "/tmp",  # noqa: S108 - nothing is written there
    }
    return {
        "name": name,
        "image": values.launcher_linux_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/bin/python3", "-m", module],
        "env": [{"name": key, "value": each} for key, each in environment.items()],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
    }


def _mount(name: str, path: str) -> Manifest:
    return {"name": name, "mountPath": path}
