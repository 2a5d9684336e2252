"""The one error of this room's boundary."""


class IdentityError(Exception):
    """A certificate, key or kubeconfig could not be made, read or trusted."""
