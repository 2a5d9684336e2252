"""The image that clusters use, for tests that boot it."""

from tests.vmm.conftest import guest_image

__all__ = ["guest_image"]
