"""The host's ``vm.max_map_count``: the limit on memory mappings of one process.

User Mode Linux needs up to one mapping for each page of a guest's memory, and the kernel's default
of 65,530 is exhausted by 256 MiB of scattered pages: a process in the guest then dies of SIGSEGV.
"""

from pathlib import Path
from typing import Final

from monopod.node.vmm.driver import VmmError
from monopod.util.host_value import HostValue, kernel_parameter

PARAMETER: Final = Path("/proc/sys/vm/max_map_count")
_STATE: Final = Path("/run/monopod-max-map-count")


def max_map_count(parameter: Path = PARAMETER, state: Path = _STATE) -> HostValue:
    """Return the limit, which clusters raise; its methods raise VmmError if that is impossible."""
    return kernel_parameter("vm.max_map_count", parameter, state, VmmError)


def read_max_map_count(parameter: Path = PARAMETER) -> int:
    """Return the current limit.

    Raises:
        VmmError: It cannot be read.
    """
    return max_map_count(parameter).read()
