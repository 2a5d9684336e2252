"""What an installation can choose; ``values.yaml`` of the chart has the same. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from monopod.api import keys
from monopod.install.accounts import SETUP, USERS
from monopod.node.provider.launcher_settings import DRIVERS

Setting = Any
"""A value, or the chart's expression of one."""
ALL_DRIVERS: Final = ",".join(DRIVERS)
VPC_BLOCK: Final = "198.18.0.0/16"


def _default_resources() -> Mapping[str, Setting]:
    sizes = {"microvm": ("100m", "192Mi"), "scheduler": ("100m", "192Mi")}
    other = ("50m", "128Mi")
    return {
        process: {
            "requests": dict(zip(("cpu", "memory"), sizes.get(process, other), strict=True)),
            "limits": {"memory": "1Gi"},
        }
        for process in (*USERS, SETUP)
    }


@dataclass(frozen=True, slots=True)
class Values:
    """The values of an installation."""

    controllers_image: Setting
    """Reference of ``monopod/controllers``."""
    launcher_image: Setting
    """Reference of ``monopod/launcher``."""
    launcher_linux_image: Setting = ""
    """Reference of ``monopod/launcher-linux``; empty if gVisor is the only driver."""
    drivers: Setting = keys.DRIVER_GVISOR
    """The drivers of launcher pods, separated by commas."""
    image_pull_secrets: Setting = field(default_factory=list[Mapping[str, str]])
    """Secrets in ``monopod-system`` to pull the controllers' image with."""
    cluster: Setting = "monopod"
    region: Setting = "local-1"
    """In names of nodes, as on AWS."""
    log_level: Setting = "info"
    vpc_block: Setting = VPC_BLOCK
    """Block of the default Vpc. Nominal: pods' addresses come from the CNI plug-in."""
    api_server: Setting = ""
    """URL by which guests reach the API server; empty means that of the Service."""
    cluster_dns: Setting = ""
    """Address of the cluster's DNS; empty means that of the Service ``kube-system/kube-dns``."""
    cluster_domain: Setting = "cluster.local"
    webhooks_mode: Setting = "warn"
    user_namespaces: Setting = "true"
    """Whether launcher pods have user namespaces of their own."""
    priority_class: Setting = ""
    """Of launcher pods."""
    replicas: Setting = 2
    """Of each process. One of each controller acts: the leader."""
    renewal_schedule: Setting = "17 * * * *"
    """When certificates are renewed and subnets of new zones created, as a CronJob's schedule."""
    manage_certificates: Setting = "true"
    """Whether the job ``setup`` makes the webhooks' certificate."""
    resources: Mapping[str, Setting] = field(default_factory=_default_resources)
    """Resources of each process's container."""
    node_selector: Setting = field(default_factory=dict[str, str])
    tolerations: Setting = field(default_factory=list[Mapping[str, str]])
    priority_class_of_controllers: Setting = "system-cluster-critical"

    def settings(self) -> Mapping[str, Setting]:
        """Return the environment variables of every process."""
        return {
            "MONOPOD_HOME": HOME,
            "MONOPOD_CACHE": "/tmp",  # noqa: S108 - a volume of the pod's
            "MONOPOD_CLUSTER": self.cluster,
            "MONOPOD_REGION": self.region,
            "MONOPOD_LOG_LEVEL": self.log_level,
            "MONOPOD_LEADER_ELECTION": "true",
            "MONOPOD_METRICS_ADDRESS": "0.0.0.0",  # noqa: S104 - the pod's
        }

    def own_settings(self, process: str) -> Mapping[str, Setting]:
        """Return the environment variables of one process."""
        match process:
            case "webhooks":
                return {
                    "MONOPOD_WEBHOOKS_ADDRESS": "0.0.0.0",  # noqa: S104 - the pod's
                    "MONOPOD_WEBHOOKS_MODE": self.webhooks_mode,
                }
            case "microvm":
                return {
                    "MONOPOD_PROVIDER": "kubernetes",
                    "MONOPOD_LAUNCHER_IMAGE": self.launcher_image,
                    "MONOPOD_LAUNCHER_LINUX_IMAGE": self.launcher_linux_image,
                    "MONOPOD_LAUNCHER_DRIVERS": self.drivers,
                    "MONOPOD_LAUNCHER_USER_NAMESPACES": self.user_namespaces,
                    "MONOPOD_LAUNCHER_PRIORITY_CLASS": self.priority_class,
                    "MONOPOD_MICROVM_API_SERVER": self.api_server,
                    "MONOPOD_MICROVM_CLUSTER_DNS": self.cluster_dns,
                    "MONOPOD_MICROVM_CLUSTER_DOMAIN": self.cluster_domain,
                }
            case "setup":
                return {
                    "MONOPOD_SETUP_VPC_BLOCK": self.vpc_block,
                    "MONOPOD_SETUP_CERTIFICATES": self.manage_certificates,
                }
            case _:
                return {}


HOME: Final = "/monopod"
"""In Monopod's containers: its home, with the identity of the process alone."""
PROCESSES: Final[Sequence[str]] = tuple(USERS)
