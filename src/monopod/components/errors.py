"""Why upstream's programs cannot be had."""

from monopod.errors import MonopodError


class ComponentsError(MonopodError):
    """The programs a cluster consists of cannot be had; says what to change."""


class ToolchainError(ComponentsError):
    """There is no Go toolchain that is new enough, and none could be installed."""


class BuildError(ComponentsError):
    """A component did not build, or what was built is not what it should be."""


class PrebuiltError(ComponentsError):
    """The directory of prebuilt programs does not hold what is needed."""
