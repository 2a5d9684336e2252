"""Container images without Docker: builds, reads, pushes, lists and removes them."""

from monopod.build.images.catalogue import build_demo_image, build_test_image
from monopod.build.images.errors import ArchiveError, BuildError, ImageError, RegistryError
from monopod.build.images.program import build_program_image
from monopod.build.images.push import push
from monopod.build.images.write import ImageConfig, write_archive

__all__ = [
    "ArchiveError",
    "BuildError",
    "ImageConfig",
    "ImageError",
    "RegistryError",
    "build_demo_image",
    "build_program_image",
    "build_test_image",
    "push",
    "write_archive",
]
