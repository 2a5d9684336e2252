"""Fargate profiles: matching, precedence, subnets and validation. No I/O."""

from monopod.profiles.checks import (
    Fault,
    Surroundings,
    faults_at_creation,
    region_faults,
    role_faults,
    subnet_faults,
)
from monopod.profiles.choice import (
    Choice,
    Outcome,
    ProfileVerdict,
    SelectorVerdict,
    choose_profile,
    judge_profile,
)
from monopod.profiles.roles import KnownRoles, role_of
from monopod.profiles.subnets import ProfileSubnets, is_private, subnets_of_profile
from monopod.profiles.turns import not_your_turn, twins_of
from monopod.profiles.validity import faults_of
from monopod.profiles.wildcards import matches

__all__ = [
    "Choice",
    "Fault",
    "KnownRoles",
    "Outcome",
    "ProfileSubnets",
    "ProfileVerdict",
    "SelectorVerdict",
    "Surroundings",
    "choose_profile",
    "faults_at_creation",
    "faults_of",
    "is_private",
    "judge_profile",
    "matches",
    "not_your_turn",
    "region_faults",
    "role_faults",
    "role_of",
    "subnet_faults",
    "subnets_of_profile",
    "twins_of",
]
