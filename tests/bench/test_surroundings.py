from pathlib import Path

import pytest

from monopod.bench.errors import BenchError
from monopod.bench.phases import Kind, Subject
from monopod.bench.pods import bench_pod
from monopod.bench.surroundings import alone

pytestmark = pytest.mark.unit


async def test_only_one_benchmark_at_a_time(tmp_path: Path) -> None:
    async with alone(tmp_path):
        with pytest.raises(BenchError, match="another benchmark"):
            async with alone(tmp_path):
                pass
    async with alone(tmp_path):
        pass


def test_pods_of_both_kinds_differ_only_in_placement() -> None:
    machine = bench_pod("p", "n", Subject(Kind.MICROVM))
    ordinary = bench_pod("p", "n", Subject(Kind.ORDINARY))
    assert machine != ordinary
    assert ordinary.spec is not None
    assert ordinary.metadata is not None
    ordinary.spec.affinity = ordinary.spec.tolerations = None
    ordinary.metadata.annotations = None
    assert machine == ordinary
