from pathlib import Path

import pytest

from monopod.bench.environment import exclusive
from monopod.bench.errors import BenchError
from monopod.bench.phases import Kind, Subject
from monopod.bench.pods import bench_pod

pytestmark = pytest.mark.unit


async def test_only_one_benchmark_at_a_time(tmp_path: Path) -> None:
    async with exclusive(tmp_path):
        with pytest.raises(BenchError, match="another benchmark"):
            async with exclusive(tmp_path):
                pass
    async with exclusive(tmp_path):
        pass


def test_pods_of_both_kinds_differ_only_in_placement() -> None:
    machine = bench_pod("p", "n", Subject(Kind.MICROVM))
    baseline = bench_pod("p", "n", Subject(Kind.BASELINE))
    assert machine != baseline
    assert baseline.spec is not None
    assert baseline.metadata is not None
    baseline.spec.affinity = baseline.spec.tolerations = None
    baseline.metadata.annotations = None
    assert machine == baseline
