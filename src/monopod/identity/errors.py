"""The one error of this room's boundary."""

from monopod.errors import MonopodError


class IdentityError(MonopodError):
    """A certificate, key or kubeconfig could not be made, read or trusted."""
