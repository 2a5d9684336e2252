"""Converts Fargate profiles between the EKS API and Kubernetes (no I/O)."""

import hashlib
from collections.abc import Sequence
from typing import Final, cast, get_args

import msgspec
from lightkube.models.meta_v1 import ObjectMeta

from monopod.api import keys
from monopod.api.constants import CREATING, DELETING
from monopod.api.resources import FargateProfile, FargateProfileSpec, Selector, Subnet, Vpc
from monopod.eksapi import wire
from monopod.eksapi.errors import EksError, invalid_parameter
from monopod.eksapi.place import Place
from monopod.fargate.profiles import faults_of, region_faults, subnet_faults, subnets_of_profile
from monopod.fargate.profiles.checks import quota_message
from monopod.fargate.profiles.subnets import is_ordinary
from monopod.fargate.profiles.validity import MAX_LABELS, RESERVED_PREFIX
from monopod.kube import annotations_of, meta, name_of, uid_of

REQUEST_ANNOTATION: Final = f"{keys.GROUP}/client-request"
"""Digests of the token and of the parameters that a profile was created with."""
_STATUSES: Final = frozenset(get_args(wire.FargateProfileStatus))
_ISSUES: Final = frozenset(get_args(wire.FargateProfileIssueCode))
_OTHER_ISSUE: Final = "InternalFailure"
_ZONE: Final = "UnsupportedAvailabilityZone"


def to_wire(profile: FargateProfile, place: Place) -> wire.FargateProfile:
    """Return a profile as the EKS API returns it."""
    metadata, spec = meta(profile), profile.spec
    name = name_of(profile)
    made = metadata.creationTimestamp
    return wire.FargateProfile(
        fargateProfileName=name,
        fargateProfileArn=place.profile_arn(name, uid_of(profile)),
        clusterName=place.cluster,
        createdAt=made.timestamp() if made else None,
        podExecutionRoleArn=spec.podExecutionRoleArn,
        subnets=list(spec.subnets),
        selectors=[
            wire.FargateProfileSelector(namespace=each.namespace, labels=dict(each.labels))
            for each in spec.selectors
        ],
        status=_status(profile),
        tags=dict(spec.tags),
        health=wire.FargateProfileHealth(issues=_issues(profile)),
    )


def _status(profile: FargateProfile) -> wire.FargateProfileStatus:
    said = profile.status.status if profile.status else ""
    if meta(profile).deletionTimestamp is not None and not said.startswith("DELETE"):
        return DELETING
    return cast("wire.FargateProfileStatus", said if said in _STATUSES else CREATING)


def _issues(profile: FargateProfile) -> list[wire.FargateProfileIssue]:
    health = profile.status.health if profile.status else None
    return [
        wire.FargateProfileIssue(
            code=cast(
                "wire.FargateProfileIssueCode",
                each.code if each.code in _ISSUES else _OTHER_ISSUE,
            ),
            message=each.message,
            resourceIds=list(each.resourceIds),
        )
        for each in (health.issues if health else ())
    ]


def from_request(request: wire.CreateFargateProfileRequest) -> FargateProfile:
    """Return the object that a request creates.

    Raises:
        EksError: The profile is invalid.
    """
    name = request.fargateProfileName
    spec = FargateProfileSpec(
        selectors=[
            Selector(namespace=each.namespace or "", labels=each.labels or {})
            for each in request.selectors or ()
        ],
        subnets=list(request.subnets or ()),
        podExecutionRoleArn=request.podExecutionRoleArn,
        tags=dict(request.tags or {}),
    )
    if message := _aws_message(spec):
        raise _refused(request, message)
    faults = list(faults_of(name, spec))
    if not request.podExecutionRoleArn:
        faults.append("podExecutionRoleArn: must not be empty")
    if faults:
        # The reserved prefix has AWS's exact message, which stands alone.
        shown = faults[:1] if name.startswith(RESERVED_PREFIX) else faults
        raise _refused(request, "; ".join(shown))
    annotations = {REQUEST_ANNOTATION: _digest(request)} if request.clientRequestToken else None
    return FargateProfile(metadata=ObjectMeta(name=name, annotations=annotations), spec=spec)


def _aws_message(spec: FargateProfileSpec) -> str:
    """Return AWS's exact message for an invalid profile, where recorded (source: moto's EKS)."""
    if not spec.selectors:
        return "Fargate Profile requires at least one selector."
    if not all(each.namespace for each in spec.selectors):
        return "Fargate Profile must have at least one selector with at least one namespace value."
    if any(len(each.labels) > MAX_LABELS for each in spec.selectors):
        return f"Request contains Selector with more than {MAX_LABELS} Label pairs"
    return ""


def check_placement(
    request: wire.CreateFargateProfileRequest,
    profile: FargateProfile,
    place: Place,
    subnets: Sequence[Subnet],
    vpcs: Sequence[Vpc],
) -> None:
    """Reject a profile that this region does not support, or whose subnets are unsuitable.

    The absence of any subnet is reported by the profile's health instead.

    Raises:
        EksError: The profile is rejected.
    """
    found = subnets_of_profile(profile, subnets, vpcs)
    faults = (*region_faults(place.region, place.unsupported_regions), *subnet_faults(found))
    for fault in faults:
        if fault.reason == _ZONE:
            zones = {each.spec.availabilityZone for each in subnets if is_ordinary(each)}
            raise EksError(
                "UnsupportedAvailabilityZoneException",
                fault.message,
                cluster=request.clusterName,
                zones=sorted(zones),
            )
        if fault.resources:
            raise _refused(request, fault.message)


def existing(
    request: wire.CreateFargateProfileRequest,
    profiles: Sequence[FargateProfile],
    max_profiles: int,
) -> FargateProfile | None:
    """Return the profile that an identical earlier request created; None means that there is none.

    Raises:
        EksError: The name is taken, the token was used by another request, or the quota is full.
    """
    if request.clientRequestToken:
        digest = _digest(request)
        token = digest.partition(".")[0]
        for each in profiles:
            old = annotations_of(each).get(REQUEST_ANNOTATION, "")
            if old == digest:
                return each
            if old.partition(".")[0] == token:
                raise _refused(
                    request,
                    f"The client request token {request.clientRequestToken} was used with other"
                    " parameters before.",
                )
    if any(name_of(each) == request.fargateProfileName for each in profiles):
        raise in_use(request)
    if len(profiles) >= max_profiles:
        raise EksError(
            "ResourceLimitExceededException",
            quota_message(request.clusterName, len(profiles), max_profiles),
            cluster=request.clusterName,
        )
    return None


def in_use(request: wire.CreateFargateProfileRequest) -> EksError:
    """Return the error for a name that is taken."""
    # Source: recorded answers (eksctl#2591, eksctl#5652).
    return EksError(
        "ResourceInUseException",
        "A Fargate Profile already exists with this name in this cluster.",
        409,
        cluster=request.clusterName,
        profile=request.fargateProfileName,
    )


def _refused(request: wire.CreateFargateProfileRequest, message: str) -> EksError:
    return invalid_parameter(
        message, cluster=request.clusterName, profile=request.fargateProfileName
    )


def _digest(request: wire.CreateFargateProfileRequest) -> str:
    parameters = msgspec.structs.replace(request, clientRequestToken=None)
    text = msgspec.json.encode(parameters, order="deterministic")
    token = (request.clientRequestToken or "").encode()
    return f"{hashlib.sha256(token).hexdigest()}.{hashlib.sha256(text).hexdigest()}"
