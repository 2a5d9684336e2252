"""The cluster as the EKS API shows it (no I/O)."""

import base64
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from monopod.api.resources import Subnet
from monopod.eksapi import wire
from monopod.eksapi.place import Place
from monopod.kube import name_of

OLDEST_NAMESPACE: Final = "kube-system"
"""A namespace created with the cluster."""


@dataclass(frozen=True, slots=True)
class ClusterEndpoint:
    """The facts about the cluster that the API returns."""

    server: str
    """The API server's URL."""
    authority: bytes
    """PEM of the authority of its certificate."""
    services: str
    """The CIDR block of services."""


class _Version(msgspec.Struct):
    major: str
    minor: str
    gitVersion: str  # noqa: N815


def describe(
    place: Place,
    endpoint: ClusterEndpoint,
    made: dt.datetime | None,
    version: bytes,
    subnets: Sequence[Subnet],
) -> wire.Cluster:
    """Return the cluster's description; enough for ``aws eks update-kubeconfig``.

    Args:
        place: Its name and ARN.
        endpoint: Its URL, authority and service range.
        made: Its creation time.
        version: The API server's answer at ``/version``.
        subnets: All subnets.
    """
    running = msgspec.json.decode(version, type=_Version)
    return wire.Cluster(
        name=place.cluster,
        arn=place.arn,
        createdAt=made.timestamp() if made else None,
        version=f"{running.major}.{running.minor}",
        endpoint=endpoint.server,
        # The API server is the OIDC provider; see ``monopod.controlplane.oidc``.
        identity=wire.Identity(oidc=wire.OIDC(issuer=endpoint.server)),
        resourcesVpcConfig=_vpc(subnets),
        kubernetesNetworkConfig=wire.KubernetesNetworkConfigResponse(
            serviceIpv4Cidr=endpoint.services, ipFamily="ipv4"
        ),
        logging=wire.Logging(clusterLogging=[]),
        status="ACTIVE",
        certificateAuthority=wire.Certificate(data=base64.b64encode(endpoint.authority).decode()),
        platformVersion=running.gitVersion,
        tags={},
        health=wire.ClusterHealth(issues=[]),
        accessConfig=wire.AccessConfigResponse(
            bootstrapClusterCreatorAdminPermissions=True, authenticationMode="API"
        ),
    )


def _vpc(subnets: Sequence[Subnet]) -> wire.VpcConfigResponse:
    return wire.VpcConfigResponse(
        subnetIds=sorted(name_of(each) for each in subnets),
        securityGroupIds=[],
        vpcId=min((each.spec.vpc for each in subnets), default=""),
        endpointPublicAccess=False,
        endpointPrivateAccess=True,
        publicAccessCidrs=[],
    )
