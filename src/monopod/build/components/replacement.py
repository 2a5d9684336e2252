"""A change of one file of an upstream module."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Replacement:
    """A change of one file of a module. A build fails where upstream's text is another."""

    file: str
    """Path in the module."""
    old: str
    """Text that the file has exactly once."""
    new: str
