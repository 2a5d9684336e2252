"""Names, labels and annotations that users and other programs depend on.

The compatibility keys are AWS's, so that manifests and tools written for EKS Fargate work
unchanged (source: EKS user guide, and a recorded audit log of EKS 1.27).
"""

from typing import Final

GROUP: Final = "monopod.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

SYSTEM_NAMESPACE: Final = "monopod-system"
"""Namespace of the Secrets that machines use and their pods cannot read."""
SYSTEM_NAMESPACES: Final = frozenset({"kube-system", SYSTEM_NAMESPACE})
"""Where a cluster's own agents run. Only administrators may create objects there."""

SCHEDULER_NAME: Final = "fargate-scheduler"
PROFILE_LABEL: Final = "eks.amazonaws.com/fargate-profile"
COMPUTE_TYPE_KEY: Final = "eks.amazonaws.com/compute-type"
"""An annotation of pods (``ec2`` opts out), a label and a taint of nodes (``fargate``)."""
COMPUTE_TYPE_FARGATE: Final = "fargate"
COMPUTE_TYPE_EC2: Final = "ec2"
CAPACITY_ANNOTATION: Final = "CapacityProvisioned"
FAILURES_ANNOTATION: Final = "monopod.dev/provisioning-failures"
LOGGING_ANNOTATION: Final = "Logging"
PRIORITY_CLASS: Final = "system-node-critical"
PRIORITY: Final = 2_000_001_000
NODE_PREFIX: Final = "fargate-ip-"

SECURITY_GROUPS_ANNOTATION: Final = "fargate.amazonaws.com/pod-sg"
"""On a pod: the ids of its security groups, separated by commas. Only the scheduler sets it."""
SECURITY_GROUP_POLICIES: Final = "vpcresources.k8s.aws"
SECURITY_GROUP_POLICIES_VERSION: Final = "v1beta1"
CLUSTER_SECURITY_GROUP: Final = "sg-cluster"
"""The security group of every pod that no SecurityGroupPolicy selects."""
MOST_SECURITY_GROUPS: Final = 5
"""Maximum for one pod."""

TARGET_GROUPS: Final = "elbv2.k8s.aws"
TARGET_GROUPS_VERSION: Final = "v1beta1"
TARGET_HEALTH_PREFIX: Final = "target-health.elbv2.k8s.aws/"
"""Prefix of pods' readiness gates; the name of a TargetGroupBinding follows."""
TARGET_HEALTH_LABEL: Final = "elbv2.k8s.aws/pod-readiness-gate-inject"
"""On a namespace: ``enabled`` adds these gates to its pods."""

SCHEDULED_TERMINATION: Final = "monopod.dev/ScheduledTermination"
"""A condition of pods that a PatchCampaign will replace."""

SIDECARS_ANNOTATION: Final = "monopod.dev/sidecars"
"""On a pod: the injections whose containers it carries, with their generations."""
SIDECARS_LEFT_OUT_ANNOTATION: Final = "monopod.dev/sidecars-left-out"
"""On a pod: the injections that select it and that it does not carry, with the reasons."""
SIDECAR_INJECTION: Final = "monopod.dev/sidecar-injection"
"""An annotation of DaemonSets (``Namespace`` or ``Cluster``): makes an injection from it. A label
of copies of ConfigMaps: the injection that they are for."""
SIDECAR_INJECTION_NAMESPACE: Final = "Namespace"
SIDECAR_INJECTION_CLUSTER: Final = "Cluster"
SIDECAR_PODS_ANNOTATION: Final = "monopod.dev/sidecar-pods"
SIDECAR_NAMESPACES_ANNOTATION: Final = "monopod.dev/sidecar-namespaces"
"""On a DaemonSet: labels of the pods, and of the namespaces, that get its containers."""
SIDECAR_CONFIG_MAPS_ANNOTATION: Final = "monopod.dev/sidecar-config-maps"
"""On a DaemonSet: names of its ConfigMaps to copy into the pods' namespaces."""
SIDECAR_CREDENTIALS_ANNOTATION: Final = "monopod.dev/sidecar-credentials"
"""On a DaemonSet: ``true`` gives its containers the credentials of the pods' service account."""
SIDECAR_SOURCE_ANNOTATION: Final = "monopod.dev/daemonset"
"""On an injection: the DaemonSet that it is made from."""

PROFILE_FINALIZER: Final = "monopod.dev/profile"
MACHINE_FINALIZER: Final = "monopod.dev/machine"
MACHINE_LABEL: Final = "monopod.dev/microvm"
"""On a node and on a launcher pod: the name of its MicroVM."""
POD_NAMESPACE_LABEL: Final = "monopod.dev/pod-namespace"
"""On a launcher pod: the namespace of its machine's pod."""

SCHEDULER_USER: Final = "monopod:fargate-scheduler"
LOADBALANCER_USER: Final = "monopod:loadbalancer"
PATCH_USER: Final = "monopod:patch"
SIDECARS_USER: Final = "monopod:sidecars"
WEBHOOKS_USER: Final = "monopod:webhooks"
"""API users that admission policies name."""

DRIVER_ANNOTATION: Final = "monopod.dev/driver"
"""On a FargateProfile: the weakest driver of its pods. On a pod: the requested driver."""
DRIVER_GVISOR: Final = "gvisor"
DRIVER_KVM: Final = "qemu-kvm"
DRIVER_TCG: Final = "qemu-tcg"
DRIVER_UML: Final = "uml"
DRIVER_LINUX: Final = "linux"
DRIVER_WORDS: Final = (DRIVER_UML, DRIVER_GVISOR, "qemu", DRIVER_TCG, DRIVER_KVM, DRIVER_LINUX)
"""Its valid values; ``qemu`` means either accelerator, ``linux`` any default driver whose guests
have a Linux kernel."""
RUNTIME_HANDLERS: Final = frozenset({"crun", "runc"})
"""RuntimeClass handlers that a machine's containerd serves; ``runc`` runs ``crun`` too."""
RUNTIME_CLASS: Final = "monopod"
"""The RuntimeClass of pods that run on a machine or not at all."""
RUNTIME_CLASS_LABEL: Final = "monopod.dev/runtime-class"
"""In a profile's selector: the name of a pod's RuntimeClass. Pods need no such label."""
NODE_LABEL: Final = "monopod.dev/node"
"""On a worker node: the name that its user gave it."""
ZONE_LABEL: Final = "topology.kubernetes.io/zone"
ZONE_LABELS: Final = frozenset({ZONE_LABEL, "failure-domain.beta.kubernetes.io/zone"})
"""On a node: its zone. Pod affinity and topology spread have an effect with these keys only."""
CLUSTER_DOMAIN: Final = "cluster.local"
"""The DNS domain of services and pods."""
OS_LABEL: Final = "kubernetes.io/os"
APPARMOR_ANNOTATION_PREFIX: Final = "container.apparmor.security.beta.kubernetes.io/"
"""On pods, followed by a container's name: its AppArmor profile, as before Kubernetes 1.30."""
INSTANCE_TYPE_LABEL: Final = "node.kubernetes.io/instance-type"
"""On a node: the size of its machine."""
