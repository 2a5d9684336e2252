"""What docs/how-to/install-into-a-cluster.md asks of hosts, on this machine, which plays them."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from monopod.node.provider.settings import LocalSettings
from monopod.node.vmm import halt_poll
from monopod.node.vmm.map_count import max_map_count
from monopod.node.vmm.uml import largest_mappings


@contextmanager
def prepared_hosts() -> Generator[None]:
    """Have guests of every driver start, and idle processors poll before they sleep."""
    with ExitStack() as stack:
        stack.enter_context(max_map_count().held(largest_mappings()))
        if halt_poll.PARAMETER.exists():
            stack.enter_context(halt_poll.halt_poll().held(LocalSettings().halt_poll_ns))
        yield
