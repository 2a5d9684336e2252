"""Names that other programs know Monopod's objects by.

The compatibility keys are AWS's own, so that manifests and tools written for EKS Fargate work
unchanged (source: EKS user guide, and a recorded audit log of EKS 1.27).
"""

from typing import Final

GROUP: Final = "monopod.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

SYSTEM_NAMESPACE: Final = "monopod-system"
"""Of Secrets that machines use and pods never see."""

SCHEDULER_NAME: Final = "fargate-scheduler"
PROFILE_LABEL: Final = "eks.amazonaws.com/fargate-profile"
COMPUTE_TYPE_KEY: Final = "eks.amazonaws.com/compute-type"
"""An annotation on pods (``ec2`` opts out), a label and a taint on nodes (``fargate``)."""
COMPUTE_TYPE_FARGATE: Final = "fargate"
COMPUTE_TYPE_EC2: Final = "ec2"
CAPACITY_ANNOTATION: Final = "CapacityProvisioned"
LOGGING_ANNOTATION: Final = "Logging"
PRIORITY_CLASS: Final = "system-node-critical"
PRIORITY: Final = 2_000_001_000
NODE_PREFIX: Final = "fargate-ip-"

SECURITY_GROUPS_ANNOTATION: Final = "fargate.amazonaws.com/pod-sg"
"""On a pod: its security groups' ids, with commas between; ours to write, nobody else's."""
SECURITY_GROUP_POLICIES: Final = "vpcresources.k8s.aws"
SECURITY_GROUP_POLICIES_VERSION: Final = "v1beta1"
CLUSTER_SECURITY_GROUP: Final = "sg-cluster"
"""Of every pod that no policy puts in another."""
MOST_SECURITY_GROUPS: Final = 5
"""Of one pod."""

TARGET_GROUPS: Final = "elbv2.k8s.aws"
TARGET_GROUPS_VERSION: Final = "v1beta1"
TARGET_HEALTH_PREFIX: Final = "target-health.elbv2.k8s.aws/"
"""Of pods' readiness gates; a TargetGroupBinding's name follows."""
TARGET_HEALTH_LABEL: Final = "elbv2.k8s.aws/pod-readiness-gate-inject"
"""On namespaces, ``enabled``: their pods get such gates."""

MACHINE_FINALIZER: Final = "monopod.dev/machine"
MACHINE_LABEL: Final = "monopod.dev/microvm"
"""On a node: the MicroVM it is."""

DRIVER_ANNOTATION: Final = "monopod.dev/driver"
"""On a pod or on a FargateProfile: the kind of machine it insists on. The pod's counts first."""
DRIVER_WORDS: Final = ("uml", "gvisor", "qemu", "qemu-tcg", "qemu-kvm")
"""What it may say; ``qemu`` is either accelerator."""
RUNTIME_HANDLERS: Final = frozenset({"crun", "runc"})
"""Handlers of a RuntimeClass that a machine's containerd serves; ``runc`` runs ``crun`` too."""
NODE_LABEL: Final = "monopod.dev/node"
"""On an ordinary node: what people call it."""
ZONE_LABELS: Final = frozenset(
    {"topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"}
)
"""On a node: the zone it is in. Other pods' constraints are heeded by these topology keys."""
CLUSTER_DOMAIN: Final = "cluster.local"
"""Under which the names of services and pods are."""
OS_LABEL: Final = "kubernetes.io/os"
APPARMOR_ANNOTATION_PREFIX: Final = "container.apparmor.security.beta.kubernetes.io/"
"""On pods, followed by a container's name: its AppArmor profile, as before Kubernetes 1.30."""
INSTANCE_TYPE_LABEL: Final = "node.kubernetes.io/instance-type"
"""On a node: the size of its machine."""
