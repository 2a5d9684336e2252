"""The host's ``vm.max_map_count``: the limit on memory mappings of one process.

User Mode Linux needs up to one mapping for each page of a guest's memory, and the kernel's default
of 65,530 is exhausted by 256 MiB of scattered pages: a process in the guest then dies of SIGSEGV.
"""

from pathlib import Path
from typing import Final

from monopod.node.vmm.driver import VmmError
from monopod.util.host_value import HostValue

PARAMETER: Final = Path("/proc/sys/vm/max_map_count")
_STATE: Final = Path("/run/monopod-max-map-count")


def max_map_count(parameter: Path = PARAMETER, state: Path = _STATE) -> HostValue:
    """Return the limit, which clusters raise; its methods raise VmmError if that is impossible."""
    return HostValue(
        state,
        read=lambda: read_max_map_count(parameter),
        write=lambda value: _write(parameter, value),
    )


def read_max_map_count(parameter: Path = PARAMETER) -> int:
    """Return the current limit.

    Raises:
        VmmError: It cannot be read.
    """
    try:
        return int(parameter.read_text())
    except (OSError, ValueError) as error:
        raise VmmError(f"vm.max_map_count cannot be read: {error}") from error


def _write(parameter: Path, value: int) -> None:
    try:
        parameter.write_text(str(value))
    except OSError as error:
        raise VmmError(
            f"vm.max_map_count cannot be set: {error}; run on the host: "
            f"sysctl -w vm.max_map_count={value}"
        ) from error
