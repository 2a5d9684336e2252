"""Builds ValidatingAdmissionPolicies, each with one binding."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

GROUP: Final = "admissionregistration.k8s.io/v1"
Manifest = dict[str, Any]


def policy(
    name: str,
    resources: Sequence[str],
    validations: Sequence[Manifest],
    *,
    group: str = "",
    operations: Sequence[str] = ("CREATE",),
    conditions: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    actions: Sequence[str] = ("Deny",),
    namespaces: Manifest | None = None,
) -> list[Manifest]:
    """Return a policy that fails closed, and its binding.

    Args:
        name: Its name and that of its binding.
        resources: Resources and subresources that it applies to.
        validations: Expressions, each of which must be true, and what a refusal says.
        group: API group of the resources.
        operations: Operations that it applies to.
        conditions: Match conditions by name; it applies to requests that meet all of them.
        variables: Expressions by the names that validations use.
        actions: What happens to requests that violate it.
        namespaces: The label selector of namespaces to which it is bound; None means all.
    """
    rule = {
        "apiGroups": [group],
        "apiVersions": ["*"],
        "operations": list(operations),
        "resources": list(resources),
        "scope": "*",
    }
    spec: Manifest = {
        "failurePolicy": "Fail",
        "matchConstraints": {"matchPolicy": "Equivalent", "resourceRules": [rule]},
        "validations": [each | {"reason": "Forbidden"} for each in validations],
    }
    if conditions:
        spec["matchConditions"] = _named(conditions)
    if variables:
        spec["variables"] = _named(variables)
    binding: Manifest = {"policyName": name, "validationActions": list(actions)}
    if namespaces is not None:
        binding["matchResources"] = {"namespaceSelector": namespaces}
    return [
        {
            "apiVersion": GROUP,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": spec,
        },
        {
            "apiVersion": GROUP,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": binding,
        },
    ]


def _named(expressions: Mapping[str, str]) -> list[Manifest]:
    return [{"name": name, "expression": each} for name, each in expressions.items()]
