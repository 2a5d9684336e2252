"""Admission policies on what users and Monopod's own processes change of Fargate pods.

They are part of the API server, so they hold while the webhooks do not answer, and they narrow what
RBAC cannot: which pods, and which of their fields.
"""

from typing import Final

from monopod.api import keys, messages
from monopod.fargate.unsupported.containers import CAPABILITIES
from monopod.webhooks.policy import Manifest, policy

_ANNOTATIONS: Final = (
    keys.CAPACITY_ANNOTATION,
    keys.FAILURES_ANNOTATION,
    keys.LOGGING_ANNOTATION,
    keys.SECURITY_GROUPS_ANNOTATION,
)


def manifests() -> list[Manifest]:
    """Return the policies and their bindings."""
    return [*_debuggers(), *_scheduler(), *_loadbalancer(), *_patch()]


def _debuggers() -> list[Manifest]:
    """Ephemeral containers of Fargate pods have no more rights than other containers of theirs.

    The webhook that explains this fails open, and no scheduler checks them later.
    """
    confined = {
        "Privileged": "!context.?privileged.orValue(false)",
        "AllowPrivilegeEscalation": "!context.?allowPrivilegeEscalation.orValue(false)",
        "Capabilities added": "context.?capabilities.?add.orValue([])"
        f".all(name, name in {sorted(CAPABILITIES)})",
        "AppArmorProfile": "context.?appArmorProfile.?type.orValue('Unconfined') == 'Unconfined'",
        "SeccompProfile": "context.?seccompProfile.?type.orValue('') != 'Localhost'",
    }
    return policy(
        "monopod-fargate-debuggers",
        ["pods/ephemeralcontainers"],
        [
            {
                "expression": f"variables.contexts.all(context, {expression})",
                "message": f"{messages.UNSUPPORTED}invalid SecurityContext fields: {field}",
            }
            for field, expression in confined.items()
        ],
        operations=("UPDATE",),
        conditions={
            "fargate-pod": f"oldObject.spec.?schedulerName.orValue('') == '{keys.SCHEDULER_NAME}'"
        },
        variables={
            "contexts": "object.spec.?ephemeralContainers.orValue([]).filter(each,"
            " has(each.securityContext) && !oldObject.spec.?ephemeralContainers.orValue([])"
            ".exists(old, old.name == each.name)).map(each, each.securityContext)"
        },
    )


def _scheduler() -> list[Manifest]:
    """The scheduler marks Fargate pods; it changes no other pod, and nothing that runs."""
    owned = [keys.PROFILE_LABEL]
    return policy(
        "monopod-scheduler-writes",
        ["pods", "pods/status"],
        [
            {
                "expression": "oldObject.spec.?schedulerName.orValue('') =="
                f" '{keys.SCHEDULER_NAME}'",
                "message": f"{keys.SCHEDULER_USER} changes pods of {keys.SCHEDULER_NAME} only",
            },
            {
                "expression": " && ".join(
                    (
                        "object.spec == oldObject.spec",
                        "object.metadata.?finalizers == oldObject.metadata.?finalizers",
                        "object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences",
                        _same_but("labels", owned),
                        _same_but("annotations", list(_ANNOTATIONS)),
                    )
                ),
                "message": f"{keys.SCHEDULER_USER} changes a pod's annotations about its machine,"
                " its profile label and its status, and nothing else",
            },
        ],
        operations=("UPDATE",),
        conditions={"scheduler": f"request.userInfo.username == '{keys.SCHEDULER_USER}'"},
    )


def _loadbalancer() -> list[Manifest]:
    return _conditions_only(
        "monopod-loadbalancer-writes",
        "loadbalancer",
        keys.LOADBALANCER_USER,
        f"each.type.startsWith('{keys.TARGET_HEALTH_PREFIX}')",
        f"the conditions {keys.TARGET_HEALTH_PREFIX}…",
    )


def _patch() -> list[Manifest]:
    """The patch controller marks, evicts and deletes Fargate pods."""
    deletion = policy(
        "monopod-patch-deletes",
        ["pods"],
        [
            {
                "expression": "oldObject.spec.?schedulerName.orValue('') =="
                f" '{keys.SCHEDULER_NAME}'",
                "message": f"{keys.PATCH_USER} deletes pods of {keys.SCHEDULER_NAME} only",
            }
        ],
        operations=("DELETE",),
        conditions={"patch": f"request.userInfo.username == '{keys.PATCH_USER}'"},
    )
    return [
        *_conditions_only(
            "monopod-patch-writes",
            "patch",
            keys.PATCH_USER,
            f"each.type == '{keys.SCHEDULED_TERMINATION}'",
            f"the condition {keys.SCHEDULED_TERMINATION}",
        ),
        *deletion,
    ]


def _conditions_only(
    name: str, condition: str, user: str, own: str, description: str
) -> list[Manifest]:
    """Return a policy by which a user writes only some conditions in pods' status.

    Args:
        name: Of the policy.
        condition: Name of its match condition.
        user: The user.
        own: Expression: whether the condition ``each`` is one of them.
        description: Of these conditions, for people.
    """

    def others(pod: str) -> str:
        return f"{pod}.?status.?conditions.orValue([]).filter(each, !({own}))"

    fields = ("phase", "podIP", "podIPs", "hostIP", "containerStatuses", "initContainerStatuses")
    return policy(
        name,
        ["pods/status"],
        [
            {
                "expression": " && ".join(
                    (
                        f"{others('object')} == {others('oldObject')}",
                        *(f"object.?status.?{n} == oldObject.?status.?{n}" for n in fields),
                        "object.metadata.?labels == oldObject.metadata.?labels",
                        "object.metadata.?annotations == oldObject.metadata.?annotations",
                    )
                ),
                "message": f"{user} sets {description} of a pod, and nothing else",
            }
        ],
        operations=("UPDATE",),
        conditions={condition: f"request.userInfo.username == '{user}'"},
    )


def _same_but(field: str, owned: list[str]) -> str:
    """Return an expression: a map of the metadata is the same except for these keys."""

    def kept(one: str, other: str) -> str:
        return (
            f"{one}.metadata.?{field}.orValue({{}}).all(key, key in {owned} ||"
            f" {one}.metadata.{field}[key] == {other}.metadata.?{field}[?key].orValue('\\n'))"
        )

    return f"{kept('object', 'oldObject')} && {kept('oldObject', 'object')}"
