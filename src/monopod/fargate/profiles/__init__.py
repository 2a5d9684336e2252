"""Fargate profiles: matching, precedence, subnets and validation. No I/O."""

from monopod.fargate.profiles.checks import Fault, Surroundings, faults_at_creation, region_faults, role_faults, subnet_faults
from monopod.fargate.profiles.matching import Choice, Outcome, ProfileVerdict, SelectorVerdict, choose_profile, judge_profile
from monopod.fargate.profiles.roles import KnownRoles, role_of
from monopod.fargate.profiles.subnets import ProfileSubnets, is_private, subnets_of_profile
from monopod.fargate.profiles.one_at_a_time import not_your_turn, twins_of
from monopod.fargate.profiles.validity import faults_of
from monopod.fargate.profiles.wildcards import matches

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
