"""Labels of Fargate nodes."""

from monopod.api import keys
from monopod.fargate.sizing import Size, instance_type


def node_labels(*, region: str, zone: str, architecture: str, size: Size) -> dict[str, str]:
    """Return the labels of every node of a size in a zone, except those unique to each node.

    Args:
        region: The cluster's region.
        zone: The zone of the node's subnet.
        architecture: As in ``kubernetes.io/arch``.
        size: The size of the node's machine.
    """
    return {
        keys.INSTANCE_TYPE_LABEL: instance_type(size),
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux",
        "failure-domain.beta.kubernetes.io/region": region,
        "failure-domain.beta.kubernetes.io/zone": zone,
        "kubernetes.io/arch": architecture,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/region": region,
        keys.ZONE_LABEL: zone,
    }
