"""Baseline node: the same kubelet and containerd on this host, without a machine around them.

It has its own namespaces, cgroup and directory, and a link to the VPC's router like a machine's.
All of it ends with the process that started it, even if that process is killed.
"""

from monopod.bench.baseline_node.node import BaselineNode

__all__ = ["BaselineNode"]
