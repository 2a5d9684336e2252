"""What the router's and the host's rules have in common. Pure."""

from typing import Final

from monopod.node.net import nft
from monopod.node.net.nft import ACCEPT, DROP, Json, Table

RAW: Final = -300
MANGLE: Final = -150
"""After connection tracking."""
DESTINATION_NAT: Final = -101
"""Before kube-proxy's, which would translate the cluster DNS address."""
FILTER: Final = 10
"""After kube-proxy's filter, at 0: what that rejects must not be dropped silently before."""
SOURCE_NAT: Final = 100


def drop(reason: str) -> tuple[Json, Json]:
    """Drop packets, counted by the counter of this name."""
    return nft.counter(reason), DROP


def accept_known(table: Table, chain: str) -> None:
    """Accept packets of established connections, and ICMP errors related to them."""
    verdicts = [("established", ACCEPT), ("related", ACCEPT), ("invalid", DROP)]
    table.rule(chain, nft.dispatch(nft.ct("state"), verdicts))


def remove_table(name: str, family: str = nft.INET) -> list[Json]:
    """Return the commands that remove a table. Idempotent."""
    return list(Table(name, family).commands[:2])
