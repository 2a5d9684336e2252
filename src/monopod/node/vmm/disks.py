"""Opens a machine's disks: a VMM gets descriptors, never paths."""

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from monopod.node.vmm.driver import Machine, VmmError


@dataclass(frozen=True, slots=True)
class Disks:
    """Descriptors of a machine's disks: data is writable, the others are read-only."""

    root: int
    data: int
    configuration: int

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All of them."""
        return (self.root, self.data, self.configuration)


@contextmanager
def open_disks(machine: Machine) -> Generator[Disks]:
    """Open a machine's disks.

    Raises:
        VmmError: One of them cannot be opened.
    """
    with ExitStack() as stack:
        opened: list[int] = []
        for path, flags in (
            (machine.root_image, os.O_RDONLY),
            (machine.data_disk, os.O_RDWR),
            (machine.config_disk, os.O_RDONLY),
        ):
            try:
                opened.append(os.open(path, flags))
            except OSError as error:
                raise VmmError(f"{machine.name} cannot be launched: {error}") from error
            stack.callback(os.close, opened[-1])
        yield Disks(*opened)
