"""Admission policies around the injection of sidecars.

The author of an injection runs code in the pods that it selects. So a DaemonSet makes one only if
its author may create it, and the controller that makes it has no more rights than it needs.
"""

from typing import Final

from monopod.api import keys
from monopod.webhooks.policy import Manifest, policy

_MARK: Final = f"metadata.?annotations[?'{keys.SIDECAR_INJECTION}']"
_LABEL: Final = f"metadata.?labels[?'{keys.SIDECAR_INJECTION}']"
_PREFIX: Final = "sidecar-"


def manifests() -> list[Manifest]:
    """Return the policies and their bindings."""
    return [*_daemon_sets(), *_copies(), *_rehearsals()]


def _daemon_sets() -> list[Manifest]:
    """The author of a DaemonSet with the annotation may create what is made from it."""
    authorized = f"authorizer.group('{keys.GROUP}').resource"
    cases = (
        (
            keys.SIDECAR_INJECTION_NAMESPACE,
            f"{authorized}('sidecarinjections').namespace(object.metadata.namespace)"
            ".check('create').allowed()",
            "sidecarinjections in its namespace",
        ),
        (
            keys.SIDECAR_INJECTION_CLUSTER,
            f"{authorized}('clustersidecarinjections').check('create').allowed()",
            "clustersidecarinjections",
        ),
    )
    return policy(
        "monopod-sidecar-daemon-sets",
        ["daemonsets"],
        [
            *(
                {
                    "expression": f"variables.scope != '{scope}' || {allowed}",
                    "message": f"annotation {keys.SIDECAR_INJECTION}: {scope} runs the DaemonSet's"
                    f" containers in other pods, for which its author must be allowed to create"
                    f" {what}",
                }
                for scope, allowed, what in cases
            ),
            {
                "expression": "variables.scope in ['Namespace', 'Cluster']",
                "message": f"annotation {keys.SIDECAR_INJECTION} is Namespace or Cluster",
            },
        ],
        group="apps",
        operations=("CREATE", "UPDATE"),
        conditions={
            "annotated": f"object.{_MARK}.hasValue()",
            # Controllers and the garbage collector change neither.
            "changed": "oldObject == null || object.spec != oldObject.spec ||"
            " object.metadata.?annotations != oldObject.metadata.?annotations",
        },
        variables={"scope": f"object.{_MARK}.orValue('')"},
    )


def _copies() -> list[Manifest]:
    """The sidecar controller writes copies of ConfigMaps, and no others."""
    user = {"sidecars": f"request.userInfo.username == '{keys.SIDECARS_USER}'"}
    message = f"{keys.SIDECARS_USER} writes ConfigMaps that it made, and no others"
    writes = policy(
        "monopod-sidecar-copies",
        ["configmaps"],
        [
            {
                "expression": f"object.{_LABEL}.hasValue() &&"
                f" object.metadata.name.startsWith('{_PREFIX}')"
                f" && (oldObject == null || oldObject.{_LABEL}.hasValue())",
                "message": message,
            }
        ],
        operations=("CREATE", "UPDATE"),
        conditions=user,
    )
    deletions = policy(
        "monopod-sidecar-copy-deletions",
        ["configmaps"],
        [{"expression": f"oldObject.{_LABEL}.hasValue()", "message": message}],
        operations=("DELETE",),
        conditions=user,
    )
    return [*writes, *deletions]


def _rehearsals() -> list[Manifest]:
    """The webhooks' process stores no PodTemplate."""
    return policy(
        "monopod-sidecar-rehearsals",
        ["podtemplates"],
        [
            {
                "expression": "request.?dryRun.orValue(false)",
                "message": f"{keys.WEBHOOKS_USER} creates PodTemplates in dry runs only",
            }
        ],
        conditions={"webhooks": f"request.userInfo.username == '{keys.WEBHOOKS_USER}'"},
    )
