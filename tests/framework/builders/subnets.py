"""Subnets."""

import msgspec

from monopod.api.resources import Subnet


def subnet(
    name: str = "private-a",
    block: str = "192.168.1.0/24",
    zone: str = "local-1a",
    *,
    internet: str = "NAT",
    available: int | None = None,
    vpc: str = "main",
) -> Subnet:
    return msgspec.convert(
        {
            "metadata": {"name": name},
            "spec": {
                "vpc": vpc,
                "cidrBlock": block,
                "availabilityZone": zone,
                "internet": internet,
            },
            "status": {"availableAddresses": available},
        },
        Subnet,
    )
