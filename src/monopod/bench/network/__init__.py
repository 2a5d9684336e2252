"""``bench network``: what requests between pods cost, direct and through load balancers."""

from monopod.bench.network.run import Wishes, bench_network

__all__ = ["Wishes", "bench_network"]
