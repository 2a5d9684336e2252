"""Pod starts with simulated machines: the real controllers and API server, by number of objects."""

from monopod.bench.scale.run import ScaleBenchOptions, bench_scale

__all__ = ["ScaleBenchOptions", "bench_scale"]
