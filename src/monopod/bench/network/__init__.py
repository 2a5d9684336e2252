"""``bench network``: measures requests between pods, direct and through load balancers."""

from monopod.bench.network.run import NetworkBenchOptions, bench_network

__all__ = ["NetworkBenchOptions", "bench_network"]
