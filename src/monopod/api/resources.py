"""The custom resources as typed objects.

The YAML files in ``monopod/api/crds`` have their schemas and the rules that the API server
enforces; a test checks that both agree. Field names are those of the JSON, hence camelCase.
"""

from typing import ClassVar

from lightkube.core import resource as res
from lightkube.core.dictmixin import DictMixin

from monopod.api import constants
from monopod.api.resource_info import CustomObject, resource_info, status_info


class Condition(DictMixin):
    """A Kubernetes condition; ``lastTransitionTime`` is RFC 3339."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    lastTransitionTime: str = ""
    observedGeneration: int | None = None


class Selector(DictMixin):
    """Selects pods by namespace and labels, all of which must match; both may have wildcards."""

    namespace: str
    labels: dict[str, str] = {}


class FargateProfileSpec(DictMixin):
    """Selects the pods that run on microVMs, and their subnets."""

    selectors: list[Selector]
    subnets: list[str] = []
    """Names of Subnet objects; empty means every private subnet."""
    podExecutionRoleArn: str = ""
    tags: dict[str, str] = {}


class HealthIssue(DictMixin):
    """A problem of a profile, in the form of the EKS API."""

    code: str
    """One of the EKS API's four codes, such as ``AccessDenied`` and ``InternalFailure``."""
    message: str = ""
    resourceIds: list[str] = []


class Health(DictMixin):
    """All problems of a profile."""

    issues: list[HealthIssue] = []


class FargateProfileStatus(DictMixin):
    """A profile's state; ``status`` is the EKS API's: ``CREATING``, ``ACTIVE``, ..."""

    status: str = ""
    health: Health | None = None
    conditions: list[Condition] = []
    observedGeneration: int | None = None


class _FargateProfile(CustomObject, kw_only=True):
    spec: FargateProfileSpec
    status: FargateProfileStatus | None = None


class FargateProfileWithStatus(res.GlobalSubResource, _FargateProfile):
    """The status subresource of a FargateProfile."""

    _api_info = status_info("FargateProfile", "fargateprofiles")


class FargateProfile(res.GlobalResource, _FargateProfile):
    """A Fargate profile; cluster-scoped, and its spec is immutable but for its tags."""

    _api_info = resource_info("FargateProfile", "fargateprofiles")
    Status: ClassVar = FargateProfileWithStatus


class SecretName(DictMixin):
    """A Secret in :data:`monopod.api.keys.SYSTEM_NAMESPACE`."""

    name: str


class RegistryAuthority(DictMixin):
    """The certificate authority of a registry without a publicly trusted certificate."""

    registry: str
    """Its host, with the port if image references have it."""
    certificate: str
    """PEM."""


class ExecutionRoleSpec(DictMixin):
    """Permissions of machines, which their containers do not have."""

    arn: str
    """Profiles refer to it by ``podExecutionRoleArn``."""
    imagePullSecrets: list[SecretName] = []
    """Secrets of type ``kubernetes.io/dockerconfigjson``. Of two for the same registry, the first
    is used."""
    registryAuthorities: list[RegistryAuthority] = []
    """Trusted by this role's machines, each for its registry only, in addition to public ones."""


class ExecutionRoleStatus(DictMixin):
    """Whether the objects that a role names exist and are usable."""

    conditions: list[Condition] = []


class _ExecutionRole(CustomObject, kw_only=True):
    spec: ExecutionRoleSpec
    status: ExecutionRoleStatus | None = None


class ExecutionRoleWithStatus(res.GlobalSubResource, _ExecutionRole):
    """The status subresource of an ExecutionRole."""

    _api_info = status_info("ExecutionRole", "executionroles")


class ExecutionRole(res.GlobalResource, _ExecutionRole):
    """A pod execution role: it takes the place of the IAM role that AWS uses."""

    _api_info = resource_info("ExecutionRole", "executionroles")
    Status: ClassVar = ExecutionRoleWithStatus


class PodReference(DictMixin):
    """The pod of a machine; ``uid`` distinguishes it from a later pod of the same name."""

    namespace: str
    name: str
    uid: str


class MicroVMSpec(DictMixin):
    """The machine to start. Written once, by the scheduler or by ``monopod node add``."""

    podRef: PodReference
    profile: str
    """Name of the FargateProfile; empty for a worker node."""
    subnet: str
    """Name of the Subnet the pod's address comes from."""
    milliCPU: int
    """Provisioned CPU in thousandths of a vCPU: a row of the size table."""
    memoryMiB: int
    """Provisioned memory in MiB: an option of that row."""
    ephemeralStorageGiB: int = 20
    podExecutionRoleArn: str = ""
    """The profile's role when the MicroVM was created; its ExecutionRole may not exist."""
    driver: str = ""
    """The driver that the pod or its profile requests; empty means any."""
    securityGroups: list[str] = []
    """Names of the pod's SecurityGroup objects; empty means the cluster's security group."""
    purpose: str = constants.PURPOSE_POD
    """``Pod`` or ``WorkerNode``. Of a worker node, ``podRef`` has the name that users gave it, and
    ``subnet`` only determines zone and route to the internet."""
    podCIDR: str = ""
    """Block of the addresses of a worker node's pods; empty for the machine of a pod."""


class MicroVMStatus(DictMixin):
    """The state of a machine. Only the MicroVM controller writes it."""

    podAddress: str = ""
    managementAddress: str = ""
    nodeName: str = ""
    host: str = ""
    """The Kubernetes node that its launcher pod runs on; empty if it is a process of a host."""
    driver: str = ""
    imageVersion: str = ""
    """Name of the guest image it runs, a hash of the image's inputs; empty if not recorded."""
    startTime: str = ""
    """When its current launch began, RFC 3339; empty if not recorded."""
    kubeletStartTime: str = ""
    """When the guest started its kubelet, RFC 3339, by the host's clock; empty if not known."""
    attempts: int = 0
    """Number of launches, including the current one."""
    credential: str = ""
    """ID of the client certificate issued to its kubelet last; only with it are others issued."""
    conditions: list[Condition] = []
    """``Addressed``, ``Launched``, ``Registered`` and ``Ready``, in that order; ``Terminated`` at
    the end. Their transition times are the ends of the phases of a pod's start."""


class _MicroVM(CustomObject, kw_only=True):
    spec: MicroVMSpec
    status: MicroVMStatus | None = None

    @property
    def status_or_empty(self) -> MicroVMStatus:
        """Its status; an empty one before the controller has written any."""
        return self.status or MicroVMStatus()

    @property
    def is_worker_node(self) -> bool:
        """Whether it is a worker node, and not the machine of one pod."""
        # Worker nodes of versions without ``purpose`` have the default there.
        return self.spec.purpose == constants.PURPOSE_WORKER_NODE or self.spec.podCIDR != ""


class MicroVMWithStatus(res.GlobalSubResource, _MicroVM):
    """The status subresource of a MicroVM."""

    _api_info = status_info("MicroVM", "microvms")


class MicroVM(res.GlobalResource, _MicroVM):
    """A machine of one pod or a worker node; cluster-scoped, as the Node that it becomes."""

    _api_info = resource_info("MicroVM", "microvms")
    Status: ClassVar = MicroVMWithStatus


class VpcSpec(DictMixin):
    """The address space of the cluster's pods."""

    cidrBlocks: list[str]
    """The primary IPv4 block, then the secondary ones."""
    enableDnsSupport: bool = True
    enableDnsHostnames: bool = True
    """Fargate requires both."""


class _Vpc(CustomObject, kw_only=True):
    spec: VpcSpec


class Vpc(res.GlobalResource, _Vpc):
    """A VPC."""

    _api_info = resource_info("Vpc", "vpcs")


class SubnetSpec(DictMixin):
    """An address range of a VPC in one zone, with its default route."""

    vpc: str
    cidrBlock: str
    availabilityZone: str
    internet: str = "NAT"
    """Target of its default route: ``NAT`` (a NAT gateway; the subnet is private), ``Gateway`` (an
    internet gateway; the subnet is public) or ``None`` (no default route; private)."""
    zoneType: str = "availability-zone"
    """Type of the zone. Fargate runs in an ``availability-zone`` only, not in a ``local-zone``, a
    ``wavelength-zone`` or an ``outpost``."""


class SubnetStatus(DictMixin):
    """A subnet's use."""

    availableAddresses: int | None = None


class _Subnet(CustomObject, kw_only=True):
    spec: SubnetSpec
    status: SubnetStatus | None = None


class SubnetWithStatus(res.GlobalSubResource, _Subnet):
    """The status subresource of a Subnet."""

    _api_info = status_info("Subnet", "subnets")


class Subnet(res.GlobalResource, _Subnet):
    """A subnet; each machine uses one of its addresses."""

    _api_info = resource_info("Subnet", "subnets")
    Status: ClassVar = SubnetWithStatus
