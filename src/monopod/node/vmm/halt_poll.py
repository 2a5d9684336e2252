"""The host's ``haltpoll.guest_halt_poll_ns``: how long an idle processor of a guest polls.

A host without KVM is most often a guest itself. When one of its processors sleeps, to wake it takes
its hypervisor tens of microseconds, and gVisor's threads wake each other at each system call. The
kernel's own default is to poll for up to 200 us before; some images have 0.
"""

from pathlib import Path
from typing import Final

from monopod.node.vmm.driver import VmmError
from monopod.util.host_value import HostValue, kernel_parameter

PARAMETER: Final = Path("/sys/module/haltpoll/parameters/guest_halt_poll_ns")
"""It exists only on a host that is a guest with this kernel feature."""
_STATE: Final = Path("/run/monopod-halt-poll")


def halt_poll(parameter: Path = PARAMETER, state: Path = _STATE) -> HostValue:
    """Return the time in ns, which clusters raise; its methods raise VmmError if they cannot."""
    return kernel_parameter("haltpoll.guest_halt_poll_ns", parameter, state, VmmError)
