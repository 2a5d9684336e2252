"""Validates a profile before it is sent to the API server.

The API server enforces the same rules by ``crds/fargateprofiles.yaml``; a test compares the two.
Sources: CloudFormation's reference of AWS::EKS::FargateProfile, the EKS service quotas and
user guide, and for texts in AWS's words, recorded answers of the EKS API.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from monopod.api.resources import FargateProfileSpec, Selector

RESERVED_PREFIX: Final = "eks-"
MAX_NAME_CHARS: Final = 63
"""Ours: pods carry the name as a label."""
MAX_SELECTORS: Final = 5
MAX_LABELS: Final = 5
MAX_NAMESPACE_CHARS: Final = 255
"""Ours: AWS documents no limit, and no namespace is longer."""
MAX_LABEL_KEY_CHARS: Final = 127
MAX_LABEL_VALUE_CHARS: Final = 255
MAX_TAGS: Final = 50
MAX_TAG_KEY_CHARS: Final = 128
MAX_TAG_VALUE_CHARS: Final = 256
RESERVED_TAG_PREFIX: Final = "aws:"
MAX_SUBNETS: Final = 64
"""Ours: AWS documents no limit."""
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_-]+")
_MAX_ROLE_CHARS: Final = 255


def faults_of(name: str, spec: FargateProfileSpec) -> tuple[str, ...]:
    """Return all validation errors of a profile, each with its field; empty if it is valid."""
    return (*_name_faults(name), *_spec_faults(spec))


def _name_faults(name: str) -> Iterator[str]:
    if name.startswith(RESERVED_PREFIX):
        yield f"The fargate profile name starts with the reserved prefix: '{RESERVED_PREFIX}'."
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_CHARS:
        yield (
            f"name: must be 1 to {MAX_NAME_CHARS} lower-case letters, digits, '-' or '.',"
            " with a letter or digit at either end"
        )


def _spec_faults(spec: FargateProfileSpec) -> Iterator[str]:
    if not 1 <= len(spec.selectors) <= MAX_SELECTORS:
        yield f"selectors: there must be 1 to {MAX_SELECTORS}, not {len(spec.selectors)}"
    for index, selector in enumerate(spec.selectors):
        yield from _selector_faults(f"selectors[{index}]", selector)
    if len(spec.subnets) > MAX_SUBNETS:
        yield f"subnets: there may be {MAX_SUBNETS} at most, not {len(spec.subnets)}"
    if len(set(spec.subnets)) < len(spec.subnets):
        yield "subnets: each may be named only once"
    if "" in spec.subnets:
        yield "subnets: a name must not be empty"
    role = spec.podExecutionRoleArn
    if role and (not _ROLE.fullmatch(role) or len(role) > _MAX_ROLE_CHARS):
        yield (
            "podExecutionRoleArn: must be the ARN of an IAM role without a path, such as"
            " arn:aws:iam::111122223333:role/pod-execution"
        )
    yield from _tag_faults(spec.tags)


def _selector_faults(where: str, selector: Selector) -> Iterator[str]:
    if not 1 <= len(selector.namespace) <= MAX_NAMESPACE_CHARS:
        yield f"{where}.namespace: must be 1 to {MAX_NAMESPACE_CHARS} characters long"
    if len(selector.labels) > MAX_LABELS:
        yield f"{where}.labels: there may be {MAX_LABELS} at most, not {len(selector.labels)}"
    for key, value in selector.labels.items():
        if not 1 <= len(key) <= MAX_LABEL_KEY_CHARS:
            yield f"{where}.labels: each key must be 1 to {MAX_LABEL_KEY_CHARS} characters long"
        if not 1 <= len(value) <= MAX_LABEL_VALUE_CHARS:
            yield (f"{where}.labels[{key}]: must be 1 to {MAX_LABEL_VALUE_CHARS} characters long")


def _tag_faults(tags: Mapping[str, str]) -> Iterator[str]:
    if len(tags) > MAX_TAGS:
        yield f"tags: there may be {MAX_TAGS} at most, not {len(tags)}"
    for key, value in tags.items():
        if not 1 <= len(key) <= MAX_TAG_KEY_CHARS:
            yield f"tags: each key must be 1 to {MAX_TAG_KEY_CHARS} characters long"
        if key.startswith(RESERVED_TAG_PREFIX):
            yield f"tags: keys must not start with the reserved prefix {RESERVED_TAG_PREFIX}"
        if len(value) > MAX_TAG_VALUE_CHARS:
            yield f"tags[{key}]: must be at most {MAX_TAG_VALUE_CHARS} characters long"
