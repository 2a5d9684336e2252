"""What a hostile tenant does to another's requests, pod starts and API calls."""

from monopod.bench.tenants.run import TenantsBenchOptions, bench_tenants

__all__ = ["TenantsBenchOptions", "bench_tenants"]
