"""``bench programs``: measures Redis, PostgreSQL and the pull of their image inside pods."""

from monopod.bench.programs.run import ProgramsBenchOptions, bench_programs

__all__ = ["ProgramsBenchOptions", "bench_programs"]
