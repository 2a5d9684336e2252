"""All objects of an installation, in the order in which they are applied. Pure."""

from dataclasses import dataclass
from typing import Final

from monopod.api import crds, keys
from monopod.install import access, admission, devices, workloads
from monopod.install.accounts import Manifest
from monopod.install.values import Values
from monopod.node.devices.settings import NAMESPACE as DEVICES
from monopod.node.provider.launcher_settings import NAMESPACE
from monopod.webhooks.manifests import runtime_class

_QEMU: Final = "qemu"
_ENFORCE: Final = "pod-security.kubernetes.io/enforce"


@dataclass(frozen=True, slots=True)
class Installation:
    """The objects by what they are for."""

    definitions: list[Manifest]
    """Custom resource definitions."""
    namespaces: list[Manifest]
    accounts: list[Manifest]
    """Service accounts, roles and bindings."""
    admission: list[Manifest]
    """RuntimeClass, webhook configurations and admission policies."""
    workloads: list[Manifest]
    devices: list[Manifest]
    """The device plug-in and its namespace, if a driver needs devices of hosts."""

    @property
    def every(self) -> list[Manifest]:
        """All objects, in the order in which they are applied."""
        return [
            *self.definitions,
            *self.namespaces,
            *self.accounts,
            *self.workloads,
            *self.devices,
            *self.admission,
        ]


def installation(values: Values) -> Installation:
    """Return the objects of an installation."""
    configurations = admission.configurations()
    return Installation(
        definitions=crds.manifests(),
        namespaces=[
            _namespace(keys.SYSTEM_NAMESPACE, "restricted"),
            # For the two capabilities of a launcher pod's container ``network``.
            _namespace(NAMESPACE, "privileged"),
        ],
        accounts=[
            *workloads.service_accounts(),
            *access.rules(),
            *access.setup(configurations),
        ],
        admission=[runtime_class(), *admission.policies(), *configurations],
        workloads=[
            workloads.configuration(),
            workloads.service(),
            *workloads.deployments(values),
            *workloads.disruption_budgets(),
            workloads.setup_job(values),
            workloads.renewals(values),
        ],
        devices=device_plugin(values) if _QEMU in values.drivers else [],
    )


def device_plugin(values: Values) -> list[Manifest]:
    """Return what runs on every host for drivers that need devices."""
    return [_namespace(DEVICES, "privileged"), devices.plugin(values)]


def _namespace(name: str, level: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {_ENFORCE: level}},
    }
