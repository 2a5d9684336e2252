"""Matches Kubernetes label selectors. Pure."""

from collections.abc import Mapping

from lightkube.models.meta_v1 import LabelSelector, LabelSelectorRequirement


def selects(selector: LabelSelector, labels: Mapping[str, str] | None) -> bool:
    """Whether a selector matches an object's labels; an empty one matches every object."""
    there = labels or {}
    pairs, wishes = selector.matchLabels or {}, selector.matchExpressions or ()
    return all(there.get(key) == value for key, value in pairs.items()) and all(
        _holds(each, there) for each in wishes
    )


def _holds(wish: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(wish.key), wish.values or ()
    match wish.operator:
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return False
