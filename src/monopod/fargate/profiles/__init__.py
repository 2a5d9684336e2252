"""Fargate profiles: matching, precedence, subnets and validation. No I/O."""

from monopod.fargate.profiles.checks import (
    Fault,
    ProfileContext,
    faults_at_creation,
    region_faults,
    role_faults,
    subnet_faults,
)
from monopod.fargate.profiles.matching import (
    Choice,
    Outcome,
    ProfileVerdict,
    SelectorVerdict,
    choose_profile,
    judge_profile,
    matching_labels,
)
from monopod.fargate.profiles.one_at_a_time import blocked_by_other_profile, with_same_selectors
from monopod.fargate.profiles.roles import KnownRoles, role_of
from monopod.fargate.profiles.subnets import ProfileSubnets, is_private, subnets_of_profile
from monopod.fargate.profiles.validity import faults_of
from monopod.fargate.profiles.wildcards import matches

__all__ = [
    "Choice",
    "Fault",
    "KnownRoles",
    "Outcome",
    "ProfileContext",
    "ProfileSubnets",
    "ProfileVerdict",
    "SelectorVerdict",
    "blocked_by_other_profile",
    "choose_profile",
    "faults_at_creation",
    "faults_of",
    "is_private",
    "judge_profile",
    "matches",
    "matching_labels",
    "region_faults",
    "role_faults",
    "role_of",
    "subnet_faults",
    "subnets_of_profile",
    "with_same_selectors",
]
