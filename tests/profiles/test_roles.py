from datetime import UTC, datetime, timedelta
from itertools import permutations

import msgspec
import pytest

from monopod.api.resources import ExecutionRole
from monopod.fargate.profiles import role_of

pytestmark = pytest.mark.unit

_ARN = "arn:aws:iam::111122223333:role/pod-execution"
_NOW = datetime(2026, 11, 23, 18, 0, 0, tzinfo=UTC)


def _role(name: str, age_s: float, arn: str = _ARN) -> ExecutionRole:
    return msgspec.convert(
        {
            "metadata": {"name": name, "creationTimestamp": _NOW - timedelta(seconds=age_s)},
            "spec": {"arn": arn},
        },
        ExecutionRole,
    )


def test_a_younger_role_cannot_take_over_an_arn() -> None:
    """In any order of input, the oldest counts, and of two of the same age the first by name."""
    first, twin, later = _role("a", 60), _role("b", 60), _role("0", 5)
    other = _role("other", 600, _ARN + "-2")
    for order in permutations((first, twin, later, other)):
        assert role_of(_ARN, order) is first


def test_an_arn_is_compared_as_a_whole() -> None:
    assert role_of(_ARN, [_role("a", 1, _ARN + "s"), _role("b", 1, _ARN.upper())]) is None
    assert role_of("", [_role("a", 1)]) is None
