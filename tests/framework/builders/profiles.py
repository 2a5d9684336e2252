"""Fargate profiles and the execution roles that they name."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from monopod.api.resources import ExecutionRole, FargateProfile, FargateProfileStatus

ARN = "arn:aws:iam::111122223333:role/pod-execution"
NOW = datetime(2026, 11, 23, 18, 0, 0, tzinfo=UTC)


def profile(
    name: str = "fp",
    namespace: str = "shop",
    *subnets: str,
    selectors: Sequence[Mapping[str, Any]] = (),
    status: str = "ACTIVE",
    **metadata: Any,
) -> FargateProfile:
    """A profile that selects a namespace, or what its selectors say."""
    made = msgspec.convert(
        {
            "metadata": {"name": name, **metadata},
            "spec": {
                "selectors": selectors or [{"namespace": namespace}],
                "subnets": list(subnets),
                "podExecutionRoleArn": ARN,
            },
        },
        FargateProfile,
    )
    made.status = FargateProfileStatus(status=status)
    return made


def role(name: str = "pod-execution", arn: str = ARN, age_s: float = 0.0) -> ExecutionRole:
    return msgspec.convert(
        {
            "metadata": {"name": name, "creationTimestamp": NOW - timedelta(seconds=age_s)},
            "spec": {"arn": arn},
        },
        ExecutionRole,
    )
