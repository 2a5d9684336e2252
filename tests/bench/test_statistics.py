import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.bench.phases import Kind, Phase, PodTimeline, Subject, durations
from monopod.bench.statistics import Series, percentile, ratios, spread
from tests.bench.cases import MICROVM, REPORT, pod_timeline, series

pytestmark = pytest.mark.unit

seconds = st.floats(min_value=0, max_value=1000, allow_nan=False)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([3.0], 50, 3.0),
        ([1.0, 2.0], 50, 1.0),
        ([1.0, 2.0, 3.0], 50, 2.0),
        ([5.0, 1.0, 4.0, 2.0, 3.0], 95, 5.0),
        ([float(n) for n in range(1, 21)], 95, 19.0),
        ([float(n) for n in range(1, 101)], 95, 95.0),
    ],
)
def test_percentiles(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


@given(st.lists(seconds, min_size=1), st.floats(min_value=0, max_value=100))
def test_a_percentile_is_a_measured_value(values: list[float], percent: float) -> None:
    assert percentile(values, percent) in values


def test_a_percentile_needs_values() -> None:
    assert spread([]) is None
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


@given(st.dictionaries(st.sampled_from(Phase), seconds))
def test_durations_add_up_to_the_total(moments: dict[Phase, float]) -> None:
    taken = durations(PodTimeline("p", moments))
    assert taken.keys() == moments.keys()
    assert all(each >= 0 for each in taken.values())
    assert sum(taken.values()) == pytest.approx(max(moments.values(), default=0))


def test_a_phase_observed_out_of_order_takes_no_time() -> None:
    taken = durations(
        PodTimeline("p", {Phase.ADMITTED: 0.2, Phase.CLAIMED: 0.1, Phase.LAUNCHED: 0.5})
    )
    assert taken == pytest.approx({Phase.ADMITTED: 0.2, Phase.CLAIMED: 0.0, Phase.LAUNCHED: 0.3})


def test_an_unobserved_phase_counts_towards_the_next() -> None:
    unseen = Series(Subject(Kind.MICROVM), 1, (pod_timeline((*MICROVM[:3], None, *MICROVM[4:])),))
    by_phase = {each.phase: each for each in unseen.summaries}
    assert by_phase[Phase.BOOTED].took is None
    assert by_phase[Phase.BOOTED].reached is None
    registered = by_phase[Phase.REGISTERED].took
    assert registered is not None
    assert registered.p50 == pytest.approx(4.2)


def test_failed_pods_are_counted_separately() -> None:
    mixed = Series(
        Subject(Kind.MICROVM),
        1,
        (
            pod_timeline(MICROVM),
            PodTimeline("late", {Phase.ADMITTED: 99.0}, "not Ready within 120 s"),
        ),
    )
    assert [each.pod for each in mixed.failures] == ["late"]
    assert mixed.whole is not None
    assert mixed.whole.count == 1
    admitted = mixed.summaries[0].took
    assert admitted is not None
    assert admitted.p95 == pytest.approx(0.01)


def test_ratios_compare_equal_concurrency() -> None:
    found = {each.at_once: each for each in ratios(REPORT.series)}
    assert found[1].p50 == pytest.approx(8.0 / 0.9)
    assert found[10].p95 == pytest.approx(5 * 8.0 / (3 * 0.9))
    assert ratios([series(Kind.MICROVM, 1, 1.0), series(Kind.BASELINE, 10, 1.0)]) == ()
    assert ratios([series(Kind.MICROVM, 1, 1.0), Series(Subject(Kind.BASELINE), 1, ())]) == ()
