from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.fargate.sizing import QuantityError, parse_milli

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "milli"),
    [
        ("0", 0),
        ("1", 1000),
        ("250m", 250),
        ("0.25", 250),
        (".5", 500),
        ("2.", 2000),
        ("+3", 3000),
        ("-1", -1000),
        ("1k", 1_000_000),
        ("1M", 10**9),
        ("1G", 10**12),
        ("1T", 10**15),
        ("1P", 10**18),
        ("1Ki", 1024 * 1000),
        ("1.5Gi", 3 * 2**29 * 1000),
        ("1Ti", 2**40 * 1000),
        ("1Pi", 2**50 * 1000),
        ("1Ei", 2**60 * 1000),
        ("1E", 10**21),
        ("1e3", 10**6),
        ("1E3", 10**6),
        ("12e-1", 1200),
        ("1e+2", 100_000),
        ("1u", 1),
        ("1n", 1),
        ("0.1m", 1),
        ("-0.1m", -1),
        ("1e999999999", (2**63 - 1) * 1000),
        ("0e999999999", 0),
        ("1e-999999999", 1),
        ("0.000000000000000000000000001Ei", 1),
    ],
)
def test_reads_what_kubernetes_reads(text: str, milli: int) -> None:
    assert parse_milli(text) == milli


@pytest.mark.parametrize(
    "text",
    ["", ".", "m", "1 Gi", "1gi", "1ki", "1K", "1mi", "0x10", "1e", "--1", "NaN", "\uff11", "1Gi "],
)
def test_refuses_what_kubernetes_refuses(text: str) -> None:
    with pytest.raises(QuantityError):
        parse_milli(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_milli(text)
    except QuantityError as error:
        assert "quantity" in str(error)


@given(
    st.integers(min_value=0, max_value=10**9),
    st.integers(min_value=0, max_value=9),
    st.sampled_from(["m", "", "k", "M", "G", "Ki", "Mi", "Gi"]),
)
def test_rounds_up_by_less_than_a_thousandth(digits: int, places: int, suffix: str) -> None:
    factors = {"m": Fraction(1, 1000), "": 1, "k": 10**3, "M": 10**6, "G": 10**9}
    factors |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    exact = Fraction(digits, 10**places) * factors[suffix] * 1000
    whole, part = divmod(digits, 10**places)
    found = parse_milli(f"{whole}.{part:0{places}}{suffix}" if places else f"{whole}{suffix}")
    assert exact <= found < exact + 1
