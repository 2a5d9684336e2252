"""The error that this package raises."""

from monopod.errors import MonopodError


class IdentityError(MonopodError):
    """A certificate, key or kubeconfig could not be created, read or trusted."""
