"""``bench network``: measures requests between pods, direct and through load balancers."""

from monopod.bench.network.run import Wishes, bench_network

__all__ = ["Wishes", "bench_network"]
