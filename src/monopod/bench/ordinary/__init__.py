"""An ordinary managed node on this host: the same kubelet and containerd, without a machine around.

It has namespaces, a cgroup and a directory of its own and hangs on the VPC's router by a link like
a machine's. Everything of it ends with the process that started it, even when that is killed.
"""

from monopod.bench.ordinary.node import OrdinaryNode

__all__ = ["OrdinaryNode"]
