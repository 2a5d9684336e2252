"""Fargate profiles: who matches, who wins, and which subnets they have. No I/O."""

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
from monopod.profiles.validity import faults_of
from monopod.profiles.wildcards import matches

__all__ = [
    "Choice",
    "KnownRoles",
    "Outcome",
    "ProfileSubnets",
    "ProfileVerdict",
    "SelectorVerdict",
    "choose_profile",
    "faults_of",
    "is_private",
    "judge_profile",
    "matches",
    "role_of",
    "subnets_of_profile",
]
