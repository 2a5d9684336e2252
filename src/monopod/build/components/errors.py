"""Errors of building or finding upstream's programs."""

from monopod.errors import MonopodError


class ComponentsError(MonopodError):
    """A cluster's programs are not available; the message says what to change."""


class ToolchainError(ComponentsError):
    """No Go toolchain is new enough, and none could be installed."""


class BuildError(ComponentsError):
    """A component's build failed, or its result is wrong."""


class PrebuiltError(ComponentsError):
    """The directory of prebuilt programs lacks a program, or has a wrong one."""
