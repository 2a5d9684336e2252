"""Errors of installation."""

from monopod.errors import MonopodError


class InstallError(MonopodError):
    """Monopod cannot be installed or removed; the message says why and what to do."""
