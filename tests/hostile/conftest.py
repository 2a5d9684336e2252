"""The worlds that attackers are in."""

from tests.microvm.conftest import signing_server, world

__all__ = ["signing_server", "world"]
