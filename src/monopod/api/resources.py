"""The custom resources as typed objects, for the client and for every controller.

Their schemas, with the rules the API server enforces, are the YAML files in ``monopod/crds``; a
test holds the two to each other. Field names are the wire's, hence camelCase.
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
    """Pods of one namespace pattern that carry all of these label patterns."""

    namespace: str
    labels: dict[str, str] = {}


class FargateProfileSpec(DictMixin):
    """Which pods run on microVMs, and where."""

    selectors: list[Selector]
    subnets: list[str] = []
    """Names of Subnet objects; empty means every private one."""
    podExecutionRoleArn: str = ""
    tags: dict[str, str] = {}


class HealthIssue(DictMixin):
    """What is wrong with a profile, as the EKS API puts it."""

    code: str
    """One of the API's four: ``AccessDenied``, ``InternalFailure``, ..."""
    message: str = ""
    resourceIds: list[str] = []


class Health(DictMixin):
    """All that is wrong with a profile."""

    issues: list[HealthIssue] = []


class FargateProfileStatus(DictMixin):
    """What became of a profile; ``status`` is the EKS API's word for it."""

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
    """A Fargate profile: cluster-scoped, its spec immutable."""

    _api_info = resource_info("FargateProfile", "fargateprofiles")
    Status: ClassVar = FargateProfileWithStatus


class SecretName(DictMixin):
    """A Secret in :data:`monopod.api.keys.SYSTEM_NAMESPACE`."""

    name: str


class RegistryAuthority(DictMixin):
    """Who signs a registry's certificate, where no public authority does."""

    registry: str
    """Its host, with its port if that stands in image references."""
    certificate: str
    """PEM."""


class ExecutionRoleSpec(DictMixin):
    """What machines, not their containers, may use."""

    arn: str
    """What profiles name it by, as ``podExecutionRoleArn``."""
    imagePullSecrets: list[SecretName] = []
    """Of type ``kubernetes.io/dockerconfigjson``. Where two are for the same registry, the one
    named first counts."""
    registryAuthorities: list[RegistryAuthority] = []
    """Believed beside the public ones, each by machines of this role and for its registry alone."""


class ExecutionRoleStatus(DictMixin):
    """Whether a role can give what it names."""

    conditions: list[Condition] = []


class _ExecutionRole(CustomObject, kw_only=True):
    spec: ExecutionRoleSpec
    status: ExecutionRoleStatus | None = None


class ExecutionRoleWithStatus(res.GlobalSubResource, _ExecutionRole):
    """The status subresource of an ExecutionRole."""

    _api_info = status_info("ExecutionRole", "executionroles")


class ExecutionRole(res.GlobalResource, _ExecutionRole):
    """A pod execution role: what AWS grants by IAM, a cluster grants by this."""

    _api_info = resource_info("ExecutionRole", "executionroles")
    Status: ClassVar = ExecutionRoleWithStatus


class PodReference(DictMixin):
    """The pod a machine was made for; ``uid`` tells it from a later one of the same name."""

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
    """Provisioned CPU in thousandths of a vCPU, a row of the size table."""
    memoryMiB: int
    """Provisioned memory in MiB, a column of that row."""
    ephemeralStorageGiB: int = 20
    podExecutionRoleArn: str = ""
    """That of the profile when the machine was asked for; the role's object may not exist."""
    driver: str = ""
    """The kind of machine that the pod or its profile insists on; empty: any."""
    securityGroups: list[str] = []
    """Names of the SecurityGroup objects that the pod's address is in; empty: the cluster's."""
    purpose: str = constants.PURPOSE_POD
    """``Pod`` or ``WorkerNode``. Of a worker node, ``podRef`` has the name that users gave it, and
    ``subnet`` only determines zone and route to the internet."""
    podCIDR: str = ""
    """Block of the addresses of a worker node's pods; empty for the machine of a pod."""


class MicroVMStatus(DictMixin):
    """What became of it. Written by the MicroVM controller alone."""

    podAddress: str = ""
    managementAddress: str = ""
    nodeName: str = ""
    driver: str = ""
    attempts: int = 0
    """Launches so far, counting the present one."""
    conditions: list[Condition] = []
    """``Addressed``, ``Launched``, ``Registered``, ``Ready`` in that order; ``Terminated`` at the
    end. Their transition times are the phases of a pod's start."""


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
    """The primary IPv4 block first, then secondary ones."""
    enableDnsSupport: bool = True
    enableDnsHostnames: bool = True
    """Fargate needs both."""


class _Vpc(CustomObject, kw_only=True):
    spec: VpcSpec


class Vpc(res.GlobalResource, _Vpc):
    """A VPC: the router's address space."""

    _api_info = resource_info("Vpc", "vpcs")


class SubnetSpec(DictMixin):
    """A range of a VPC in one zone, and the way out of it."""

    vpc: str
    cidrBlock: str
    availabilityZone: str
    internet: str = "NAT"
    """Where its default route leads: ``NAT`` (a NAT gateway: private, with a way out), ``None``
    (private, no way out) or ``Gateway`` (an internet gateway: public)."""
    zoneType: str = "availability-zone"
    """Of the zone: Fargate runs in an ordinary one only, not in a ``local-zone``, a
    ``wavelength-zone`` or an ``outpost``."""


class SubnetStatus(DictMixin):
    """How full a subnet is."""

    availableAddresses: int | None = None


class _Subnet(CustomObject, kw_only=True):
    spec: SubnetSpec
    status: SubnetStatus | None = None


class SubnetWithStatus(res.GlobalSubResource, _Subnet):
    """The status subresource of a Subnet."""

    _api_info = status_info("Subnet", "subnets")


class Subnet(res.GlobalResource, _Subnet):
    """A subnet: one machine takes one of its addresses."""

    _api_info = resource_info("Subnet", "subnets")
    Status: ClassVar = SubnetWithStatus
