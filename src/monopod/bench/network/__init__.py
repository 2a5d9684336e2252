"""``bench network``: measures requests between pods, direct and through load balancers.

On a cluster that Monopod was installed into it measures on its hosts and between them.
"""

from monopod.bench.network.hosts import HostsBenchOptions, bench_hosts
from monopod.bench.network.run import NetworkBenchOptions, bench_network

__all__ = ["HostsBenchOptions", "NetworkBenchOptions", "bench_hosts", "bench_network"]
