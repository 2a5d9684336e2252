import pytest

from monopod.cli.sizes import size

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 << 10, "1.5 MiB"),
        (20 << 30, "20.0 GiB"),
        (1 << 60, "1048576.0 TiB"),
    ],
)
def test_bytes_are_in_the_largest_unit_that_fits(count: int, shown: str) -> None:
    assert size(count) == shown
