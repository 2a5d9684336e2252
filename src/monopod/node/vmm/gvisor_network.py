"""The network interfaces that a gVisor sandbox starts with. Pure.

The guest itself sets addresses, routes and neighbours, as under every driver.
"""

import base64
from typing import Any, Final

from monopod.node.vmm.driver import LINK_MTU, Machine

LINK: Final = "vec{}"
"""The guest's names of its links by number, as under every driver."""
_LARGEST_SEGMENT: Final = 65_536
_FIFO: Final = 1


def network_arguments(machine: Machine) -> dict[str, Any]:
    """Return the argument of ``SetNetworkArgs``, which takes the links' descriptors with it."""
    return {
        "LoopbackLinks": [
            {
                "Name": "lo",
                "Addresses": [{"Address": "127.0.0.1", "PrefixLen": 8}],
                "Routes": [
                    {"Destination": {"IP": "127.0.0.0", "Mask": _base64(b"\xff\0\0\0")}},
                ],
            }
        ],
        "FDBasedLinks": [
            {
                "Name": LINK.format(number),
                "MTU": LINK_MTU,
                "LinkAddress": _mac(mac_address),
                "NumChannels": 1,
                "IsPacket": [True],
                # The sandbox may not set options of its socket.
                "PreConfigured": True,
                "QDisc": _FIFO,
                # The router's end sends complete checksums, over a link that loses nothing.
                "RXChecksumOffload": True,
                "GVisorGRO": True,
                "GVisorGSOEnabled": True,
                "GSOMaxSize": _LARGEST_SEGMENT,
            }
            for number, mac_address in enumerate(machine.mac_addresses)
        ],
    }


def _mac(address: str) -> str:
    return _base64(bytes.fromhex(address.replace(":", "")))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
