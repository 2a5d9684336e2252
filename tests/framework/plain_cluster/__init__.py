"""An ordinary Kubernetes cluster of several hosts on this machine, without anything of Monopod.

It is what a user brings: upstream's control plane, and hosts with the real kubelet, containerd and
runc, each in its own namespaces. ``python -m tests.framework.plain_cluster DIRECTORY`` runs one.
"""

from tests.framework.plain_cluster.cluster import PlainCluster
from tests.framework.plain_cluster.host import Direction, Host
from tests.framework.plain_cluster.process import Process
from tests.framework.plain_cluster.services import Timings

__all__ = ["Direction", "Host", "PlainCluster", "Process", "Timings"]
