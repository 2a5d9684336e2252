"""Admission policies on everything that a node may write.

Upstream's Node authorizer and NodeRestriction restrict a kubelet to its node and its pods, and
trust what it writes there. The root of a guest holds the kubelet's certificate and is hostile: it
may write only what a kubelet writes, about its own node and its own pods, and only a little of it,
because all tenants share etcd.
"""

from typing import Final

from monopod.api import keys
from monopod.api.constants import FINISHED_PHASES
from monopod.webhooks.policy import Manifest, policy

_NODES: Final = {"node": "'system:nodes' in request.userInfo.groups"}
_MACHINES: Final = {
    "machine": f"request.userInfo.username.startsWith('system:node:{keys.NODE_PREFIX}')"
}
_WRITES: Final = (
    "/events",
    "/nodes",
    "/nodes/status",
    "/pods/status",
    "/serviceaccounts/token",
    "authentication.k8s.io/tokenreviews",
    "authorization.k8s.io/subjectaccessreviews",
    "certificates.k8s.io/certificatesigningrequests",
    "certificates.k8s.io/podcertificaterequests",
    "coordination.k8s.io/leases",
    "storage.k8s.io/csinodes",
)
"""What a kubelet creates and updates. Pods are not among it: machines have no static pods, and a
mirror pod could carry the labels of any Service's selector."""
_KUBELET_CONDITIONS: Final = (
    "AllContainersRestarting",
    "ContainersReady",
    "DisruptionTarget",
    "Initialized",
    "PodReadyToStartContainers",
    "PodResizeInProgress",
    "PodResizePending",
    "PodScheduled",
    "Ready",
)
"""Pod conditions that a kubelet sets; all others are readiness gates, which their owners set."""
_SIGNERS: Final = ("kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving")
_NODE_INFO: Final = (
    "architecture",
    "bootID",
    "containerRuntimeVersion",
    "kernelVersion",
    "kubeProxyVersion",
    "kubeletVersion",
    "machineID",
    "operatingSystem",
    "osImage",
    "systemUUID",
)
_UPDATES: Final = ("CREATE", "UPDATE")
_MESSAGE: Final = 32 << 10
"""Characters. A kubelet cuts a failed probe's output, the longest it quotes, at 10 KiB."""
_NAME: Final = "request.userInfo.username.substring('system:node:'.size())"


def manifests() -> list[Manifest]:
    """Return the policies and their bindings."""
    return [
        *_what_nodes_write(),
        *_nodes(),
        *_pod_status(),
        *_events(),
        *_small_objects(),
    ]


def _what_nodes_write() -> list[Manifest]:
    kind = (
        "request.resource.group + '/' + request.resource.resource"
        " + request.?subResource.optMap(name, name == '' ? '' : '/' + name).orValue('')"
    )
    return policy(
        "monopod-node-writes",
        ["*/*"],
        [
            {
                "expression": f"variables.kind in {list(_WRITES)}",
                "messageExpression": "'nodes do not write ' + variables.kind",
            }
        ],
        group="*",
        operations=_UPDATES,
        conditions=_NODES,
        variables={"kind": kind},
    )


def _nodes() -> list[Manifest]:
    """A machine's Node is created by Monopod; its kubelet reports status, within limits."""
    info = ", ".join(f"object.status.?nodeInfo.?{name}.orValue('')" for name in _NODE_INFO)
    limits = (
        "object.status.?images.orValue([]).size() <= 50",
        "object.status.?images.orValue([]).all(image, image.?names.orValue([]).size() <= 16"
        " && image.?names.orValue([]).all(name, name.size() <= 512))",
        "object.status.?conditions.orValue([]).size() <= 32",
        "object.status.?conditions.orValue([]).all(each,"
        " (each.type + each.?reason.orValue('') + each.?message.orValue('')).size() <= 2048)",
        "object.status.?capacity.orValue({}).size() <= 32",
        "object.status.?allocatable.orValue({}).size() <= 32",
        "object.status.?volumesInUse.orValue([]).size() == 0",
        "object.status.?volumesAttached.orValue([]).size() == 0",
        "object.status.?runtimeHandlers.orValue([]).size() <= 16",
        "!has(object.status.config)",
        f"[{info}].all(text, text.size() <= 256)",
    )
    creation = policy(
        "monopod-node-creation",
        ["nodes"],
        [
            {
                "expression": "false",
                "message": "the Node of a machine is created by Monopod, before the machine",
            }
        ],
        conditions=_MACHINES,
    )
    status = policy(
        "monopod-node-status",
        ["nodes", "nodes/status"],
        [
            {
                "expression": " && ".join(
                    f"object.metadata.?{name} == oldObject.metadata.?{name}"
                    for name in ("labels", "annotations", "finalizers", "ownerReferences")
                ),
                "message": "a machine changes neither labels nor other metadata of its Node",
            },
            {
                "expression": "object.spec == oldObject.spec"
                " && object.status.?addresses == oldObject.status.?addresses",
                "message": "a machine changes neither the spec nor the addresses of its Node",
            },
            *(
                {
                    "expression": f"!has(object.status) || {each}",
                    "message": "the status of a machine's Node is too large: " + each,
                }
                for each in limits
            ),
        ],
        operations=("UPDATE",),
        conditions=_MACHINES,
    )
    return [*creation, *status]


def _pod_status() -> list[Manifest]:
    """A machine's pod has the machine's address; load balancers and policies rely on it."""
    ours = (
        "object.status.?conditions.orValue([]).filter(each,"
        f" !(each.type in {list(_KUBELET_CONDITIONS)}))"
    )
    statuses = "(" + " + ".join(
        f"object.status.?{name}.orValue([])"
        for name in (
            "containerStatuses",
            "initContainerStatuses",
            "ephemeralContainerStatuses",
        )
    )
    states = ("state", "lastState")
    finished = sorted(FINISHED_PHASES)
    message = " + ".join(
        f"each.?{state}.?{kind}.?message.orValue('')"
        for state in states
        for kind in ("waiting", "terminated")
    )
    return policy(
        "monopod-pod-status",
        ["pods/status"],
        [
            {
                "expression": " && ".join(
                    f"object.metadata.?{name} == oldObject.metadata.?{name}"
                    for name in ("labels", "annotations", "finalizers")
                ),
                "message": "a machine does not change its pod's metadata",
            },
            {
                "expression": " && ".join(
                    f"object.status.?{name}.orValue(variables.address) == variables.address"
                    f" && object.status.?{name}s.orValue([]).all(each,"
                    " each.ip == variables.address)"
                    for name in ("podIP", "hostIP")
                ),
                "messageExpression": "'the pod of this machine has the address ' +"
                " variables.address",
            },
            {
                # Another machine may have it by now, which the API server's proxies would call.
                "expression": "!variables.finished || (object.status.?phase.orValue('') in"
                f" {finished} && (has(oldObject.status.podIP)"
                " || (object.status.?podIP.orValue('') == ''"
                " && object.status.?podIPs.orValue([]).size() == 0)))",
                "message": "a finished pod stays finished, and gets no address",
            },
            {
                "expression": "variables.gates.size() == variables.oldGates.size() &&"
                " variables.gates.all(each, variables.oldGates.exists(old,"
                " old.type == each.type && old.status == each.status))",
                "message": "a machine sets only the conditions that a kubelet sets;"
                " readiness gates are set by their owners",
            },
            {
                "expression": f"{statuses}).all(each, ({message}).size() <= {_MESSAGE}"
                " && (each.image + each.imageID).size() <= 1024)"
                f" && object.status.?message.orValue('').size() <= {_MESSAGE}"
                " && object.status.?conditions.orValue([]).all(each,"
                f" each.?message.orValue('').size() <= {_MESSAGE})",
                "message": "the pod's status is too large",
            },
        ],
        operations=("UPDATE",),
        conditions=_MACHINES,
        variables={
            "address": "request.userInfo.username.split('.')[0]"
            f".substring('system:node:{keys.NODE_PREFIX}'.size()).replace('-', '.')",
            "finished": f"oldObject.status.?phase.orValue('') in {finished}",
            "gates": ours,
            "oldGates": ours.replace("object.", "oldObject."),
        },
    )


def _events() -> list[Manifest]:
    """Events name the node itself or a pod of it, which the node may read."""

    def own(event: str) -> str:
        regarding = f"{event}.involvedObject"
        return (
            f"({regarding}.?kind.orValue('') == 'Node'"
            f" ? {regarding}.?name.orValue('') == variables.node"
            f" : {regarding}.?kind.orValue('') == 'Pod' && authorizer.group('').resource('pods')"
            f".namespace({regarding}.?namespace.orValue(''))"
            f".name({regarding}.?name.orValue('')).check('get').allowed())"
        )

    return policy(
        "monopod-node-events",
        ["events"],
        [
            {
                "expression": f"{own('object')} && (oldObject == null || {own('oldObject')})",
                "message": "a node reports events about itself and its own pods only",
            },
            {
                "expression": f"object.?message.orValue('').size() <= {_MESSAGE}"
                " && (object.?reason.orValue('') + object.?reportingComponent.orValue('')"
                " + object.?source.?component.orValue('')).size() <= 1024",
                "message": "the event is too large",
            },
        ],
        operations=_UPDATES,
        conditions=_NODES,
        variables={"node": _NAME},
    )


def _small_objects() -> list[Manifest]:
    """The other objects that a node may write are small."""
    metadata = {
        "expression": "object.metadata.?labels.orValue({}).size() <= 16"
        " && object.metadata.?annotations.orValue({}).size() <= 8"
        " && object.metadata.?annotations.orValue({}).all(key,"
        " object.metadata.annotations[key].size() <= 1024)"
        " && object.metadata.?finalizers.orValue([]).size() <= 2"
        " && object.metadata.?ownerReferences.orValue([]).size() <= 2",
        "message": "the object's metadata is too large",
    }
    kinds = (
        (
            "monopod-node-leases",
            "coordination.k8s.io",
            "leases",
            "object.spec.?holderIdentity.orValue('').size() <= 253"
            " && object.spec.?preferredHolder.orValue('').size() <= 253"
            " && object.spec.?strategy.orValue('').size() <= 253",
            "the names in a node's Lease have at most 253 characters",
        ),
        (
            "monopod-node-csi",
            "storage.k8s.io",
            "csinodes",
            # The kubelet's list is null if it is empty.
            "object.spec.drivers == null || object.spec.drivers.size() == 0",
            "machines have no CSI drivers",
        ),
        (
            "monopod-node-requests",
            "certificates.k8s.io",
            "certificatesigningrequests",
            f"object.spec.signerName in {list(_SIGNERS)}"
            " && string(object.spec.request).size() <= 4096",
            "a node requests kubelets' certificates only, in at most 4096 bytes",
        ),
        (
            # For a pod with a projected volume of this source. That it is the node's own pod, and
            # names the signer, is checked by NodeRestriction.
            "monopod-node-pod-certificates",
            "certificates.k8s.io",
            "podcertificaterequests",
            "string(object.spec.stubPKCS10Request).size() <= 16384"
            " && object.spec.?unverifiedUserAnnotations.orValue({}).size() <= 32"
            " && object.spec.?unverifiedUserAnnotations.orValue({}).all(key,"
            " object.spec.unverifiedUserAnnotations[key].size() <= 1024)",
            "a certificate's request for a pod has at most 16384 bytes, and at most 32"
            " annotations of 1024 characters",
        ),
    )
    return [
        manifest
        for name, group, resource, expression, message in kinds
        for manifest in policy(
            name,
            [resource],
            [{"expression": expression, "message": message}, metadata],
            group=group,
            operations=_UPDATES,
            conditions=_NODES,
        )
    ]
