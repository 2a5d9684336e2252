"""The host's ``nf_conntrack_max``: the limit on tracked connections of each network namespace.

The kernel's default of 262,144 is what sixteen machines may have. Only the host's own namespace can
change it, for all of them.
"""

from pathlib import Path
from typing import Final

from monopod.node.net.errors import NetworkError
from monopod.util.host_value import HostValue, kernel_parameter

PARAMETER: Final = Path("/proc/sys/net/netfilter/nf_conntrack_max")
_STATE: Final = Path("/run/monopod-conntrack-max")
_ENTRY_BYTES: Final = 320
_PART: Final = 100


def needed(memory_mib: int) -> int:
    """Return how many connections a host of a size lets its namespaces have.

    Their entries take 1 % of its memory at most: a machine of the least size, 512 MiB, may have
    16,384, which take as much of that.
    """
    return (memory_mib << 20) // _PART // _ENTRY_BYTES


def connection_limit(parameter: Path = PARAMETER, state: Path = _STATE) -> HostValue:
    """Return the limit, which clusters raise; its methods raise NetworkError if they cannot."""
    return kernel_parameter("net.netfilter.nf_conntrack_max", parameter, state, NetworkError)
