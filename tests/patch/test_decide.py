"""What a campaign does next, and what it never does."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monopod.api.conditions import timestamp
from monopod.api.patch_campaigns import (
    PatchCampaignSpec,
    PatchCampaignStatus,
    PatchSelector,
    PatchWindow,
)
from monopod.controllers.patch import actions, report
from monopod.controllers.patch.decide import MOST_NOTICES, new_notice
from monopod.controllers.patch.marks import Mark
from tests.patch.model import (
    CLOSED,
    NAME,
    ONE_AWAY,
    OPEN,
    REFUSAL,
    SETTINGS,
    T0,
    UID,
    Model,
    deadline,
    view,
)

pytestmark = [pytest.mark.unit, pytest.mark.row("S21")]


def _model(*names: str, owner: str = "web", **fields: object) -> Model:
    pods = [view(name, owner) for name in names]
    return Model({pod.uid: pod for pod in pods}, **fields)  # type: ignore[arg-type]


def _counts(model: Model) -> dict[str, int]:
    assert model.status.counts is not None
    return msgspec.structs.asdict(model.status.counts)


def test_every_pod_is_replaced_one_after_the_other() -> None:
    model = _model(*"abcdef")
    model.run()
    assert model.evicted == [*"abcdef"]
    assert model.most_away == 1
    assert model.now == T0, "nothing waited for a time"
    expected = dict.fromkeys(("waiting", "blocked", "terminated", "left"), 0)
    assert _counts(model) == expected | dict.fromkeys(("subject", "evicted", "replaced"), 6)
    assert model.status.phase == report.COMPLETED


def test_pods_are_marked_before_the_first_is_evicted() -> None:
    model = _model("a", "b")
    while not model.evicted:
        action = model.decide()
        if isinstance(action, actions.Evict):
            assert [pod.mark.reason for pod in model.pods.values() if pod.mark] == ["Scheduled"] * 2
        model.step()


@pytest.mark.parametrize(
    ("pod", "spec"),
    [
        (view("a", launched=T0), PatchCampaignSpec()),
        (view("a", launched=None), PatchCampaignSpec()),
        (view("a", finished=True), PatchCampaignSpec()),
        (view("a", ends=T0), PatchCampaignSpec()),
        (view("a", image_version="new"), PatchCampaignSpec(imageVersion="new")),
        (view("a"), PatchCampaignSpec(before="2026-11-24T08:59:59Z")),
        (view("a"), PatchCampaignSpec(selector=PatchSelector(namespaces=["other"]))),
        (view("a"), PatchCampaignSpec(selector=PatchSelector(["shop"], ["other"]))),
    ],
)
def test_other_pods_are_not_subject(pod: object, spec: PatchCampaignSpec) -> None:
    model = Model({"uid-a": pod}, spec)  # type: ignore[dict-item]
    model.step()
    assert model.status.startTime
    model.step()
    assert model.status.phase == report.COMPLETED
    assert _counts(model)["subject"] == 0


def test_zone_by_zone_and_pods_without_an_owner_last() -> None:
    pods = [view("d", "", "a"), view("c", "x", "b"), view("b", "y", "a"), view("a", "z", "b")]
    model = Model({pod.uid: pod for pod in pods}, PatchCampaignSpec(maxUnavailable=4))
    model.run()
    assert model.evicted == ["b", "c", "a", "d"]


def test_an_owner_loses_a_quarter_of_its_pods_at_most() -> None:
    pods = [view(f"{n:02}", "large") for n in range(12)] + [view("s1", "small")]
    pods += [view("s2", "small")]
    model = Model({pod.uid: pod for pod in pods}, PatchCampaignSpec(maxUnavailable=100))
    while model.status.phase != report.COMPLETED:
        model.step()
        gone = [each for each in model.status.evictions if each.accepted]
        assert sum(each.ownerName == "large" for each in gone) <= 3
        assert sum(each.ownerName == "small" for each in gone) <= 1
    assert model.most_away == 4


def test_a_refused_eviction_is_retried_before_it_has_failed() -> None:
    """The disruption controller is behind the pods that it counts."""
    model = _model("a", budgets={"web": CLOSED})
    while model.now < T0 + timedelta(seconds=30):
        model.step()
    assert model.status.evictions[0].refusal == REFUSAL
    assert not model.notices
    model.budgets.clear()
    model.run()
    assert (model.evicted, model.notices) == (["a"], [])


def test_a_budget_that_never_allows_gets_one_notice_a_pod_then_the_deadline_deletes() -> None:
    model = _model("a", "b", budgets={"web": CLOSED})
    while model.status.phase != report.BLOCKED:
        model.step()
    # The second pod of an owner does not wait again.
    assert model.now <= T0 + timedelta(seconds=65)
    assert _counts(model)["blocked"] == 2
    while isinstance(model.decide(), actions.MarkFailed):
        model.step()
    assert model.decide() == actions.Wait(T0 + timedelta(days=3))
    model.run()
    assert model.deleted == ["a", "b"]
    assert model.most_away == 1
    assert sorted(model.events) == sorted(pod for _, pod in model.notices) == ["a", "b"]
    assert model.now >= deadline(model) == T0 + timedelta(days=3)
    assert _counts(model) | {"replaced": 2, "terminated": 2, "evicted": 0} == _counts(model)


def test_an_eviction_that_succeeds_at_the_deadline_deletes_nothing() -> None:
    model = _model("a", budgets={"web": CLOSED})
    while model.status.phase != report.BLOCKED:
        model.step()
    model.budgets.clear()
    model.run()
    assert (model.evicted, model.deleted) == (["a"], [])
    assert len(model.notices) == 1


def test_a_pod_first_tried_after_the_deadline_gets_its_notice_before_it_is_deleted() -> None:
    model = _model("a", budgets={"web": CLOSED}, now=T0 + timedelta(days=4))
    model.run()
    assert model.events == ["a"] == model.deleted
    assert [pod for _, pod in model.notices] == ["a"]


def test_a_rollout_takes_pods_out_of_the_campaign() -> None:
    model = _model("a", "b", budgets={"web": CLOSED})
    while model.status.phase != report.BLOCKED:
        model.step()
    model.pods = {"uid-c": view("c", "web-2", launched=T0 + timedelta(hours=1))}
    model.replicas = {"web-2": 1}
    model.run()
    assert not model.evicted
    assert not model.deleted
    assert _counts(model)["left"] == 2


def test_a_pause_stops_everything_also_the_deadline() -> None:
    model = _model("a", "b", budgets={"web": CLOSED}, spec=PatchCampaignSpec(paused=True))
    for _ in range(10):
        action = model.decide()
        if isinstance(action, actions.Wait):
            break
        model.step()
    assert model.status.phase == report.PAUSED
    model.now += timedelta(days=10)
    assert model.decide() == actions.Wait(None)
    assert model.pods["uid-a"].mark is not None
    model.spec = PatchCampaignSpec()
    model.run()
    assert model.deleted == ["a", "b"]


def test_a_cordoned_host_stops_a_campaign_whose_replacement_cannot_start() -> None:
    model = _model("a", "b")
    while not model.evicted:
        model.step()
    model.cordoned = True
    del model.pods["uid-a"]
    for _ in range(10):
        action = model.decide()
        if isinstance(action, actions.Wait):
            break
        model.act(action)
    # Neither the time for the replacement nor the deadline counts.
    model.now += timedelta(days=10)
    assert isinstance(model.decide(), actions.Wait)
    assert model.evicted == ["a"]
    assert "until the host is uncordoned" in model.status.conditions[0].message
    model.cordoned = False
    model.run()
    assert model.evicted == ["a", "b"]
    assert not model.deleted


def test_evictions_begin_within_the_window_and_at_the_interval() -> None:
    window = PatchWindow(["Wed"], "02:00", "1h")
    model = _model("a", "b", "c", spec=PatchCampaignSpec(interval="20m", window=window))
    times: dict[str, object] = {}
    while model.status.phase != report.COMPLETED:
        model.step()
        for name in model.evicted:
            times.setdefault(name, model.now)
    begin = T0.replace(day=25, hour=2)
    assert [*times.values()] == [begin + timedelta(minutes=20 * n) for n in range(3)]


def test_a_campaign_for_later_begins_then() -> None:
    model = _model("a", spec=PatchCampaignSpec(before="2026-11-24T12:00:00Z"))
    model.step()
    assert model.status.phase == report.PENDING
    assert model.decide() == actions.Wait(T0 + timedelta(hours=2))
    model.run()
    assert model.evicted == ["a"]
    assert deadline(model) == T0 + timedelta(days=3, hours=2)


def test_a_replacement_that_is_never_ready_is_not_waited_for_without_end() -> None:
    model = _model("a", "b")
    while not model.evicted:
        model.step()
    del model.pods["uid-a"]
    model.replicas.clear()
    while len(model.evicted) < 2:
        model.step()
    assert model.now == T0 + timedelta(seconds=SETTINGS.replacement_timeout_s)


def test_a_pod_that_is_not_ready_is_not_waited_for() -> None:
    pods = [view("a", ready=False), view("b")]
    model = Model({pod.uid: pod for pod in pods})
    while len(model.evicted) < 1:
        model.step()
    model.replicas.clear()
    while len(model.evicted) < 2:
        model.step()
    assert model.now == T0


def test_a_pod_that_outlives_its_grace_period_loses_its_machine() -> None:
    model = _model("a", owner="")
    while not model.evicted:
        model.step()
    while not isinstance(action := model.decide(), actions.Wait):
        model.act(action)
    model.now = T0 + timedelta(seconds=90)
    assert action.until == model.now
    assert model.decide() == actions.DeleteMachine("mvm-a")
    model.pods["uid-a"] = replace(model.pods["uid-a"], machine="")
    assert model.decide() == actions.Wait(None)


def test_a_pod_that_another_campaign_has_marked_is_left_to_it() -> None:
    marked = view("a", mark=Mark("other", "12345678", "Scheduled"))
    model = Model({"uid-a": marked, "uid-b": view("b")})
    model.others = frozenset({("other", "12345678")})
    model.run()
    assert model.evicted == ["b"]
    assert model.pods["uid-a"].mark == marked.mark
    # Once the other campaign is completed or stopped, its mark counts no more.
    model.status, model.others = PatchCampaignStatus(), frozenset()
    model.run()
    assert model.evicted == ["b", "a"]


def test_an_earlier_campaign_of_the_same_name_has_notified_for_itself_alone() -> None:
    model = _model("a")
    while not (mark := model.pods["uid-a"].mark):
        model.step()
    model.pods["uid-a"] = replace(model.pods["uid-a"], mark=replace(mark, uid="another"))
    assert isinstance(model.decide(), actions.MarkPods)


def test_a_full_outbox_holds_back_notices_and_loses_none() -> None:
    model = _model("a", budgets={"web": CLOSED})
    model.step()
    others = [new_notice(model.state, view(f"gone-{n}"), REFUSAL) for n in range(MOST_NOTICES)]
    model.status = msgspec.structs.replace(model.status, notices=others)
    while model.now < T0 + timedelta(minutes=10):
        model.step()
    assert len(model.status.notices) == MOST_NOTICES
    model.status = msgspec.structs.replace(model.status, notices=[])
    model.run()
    assert model.events == ["a"]


def test_a_clock_that_went_back_delays_by_its_timeouts_and_no_more() -> None:
    model = _model("a", "b", spec=PatchCampaignSpec(interval="1m"), budgets={"web": CLOSED})
    while not model.status.evictions or not model.status.evictions[0].refusal:
        model.step()
    model.now -= timedelta(days=300)
    back = model.now
    while not model.notices:
        model.step()
    assert model.now - back <= timedelta(seconds=SETTINGS.refusal_timeout_s + 5)
    model.budgets.clear()
    while len(model.evicted) < 1:
        model.step()
    assert model.now - back <= timedelta(minutes=3)


def test_the_report_names_a_hundred_pods_and_counts_all() -> None:
    pods = [view(f"{n:04}") for n in range(250)]
    model = Model({pod.uid: pod for pod in pods}, PatchCampaignSpec(maxUnavailable=3))
    while len(model.evicted) < 2:
        model.step()
    assert len(model.status.pods) == report.MOST_PODS
    assert model.status.pods[0].state == "Replacing"
    assert _counts(model)["subject"] == 250


_OWNERS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 9),
        st.sampled_from([OPEN, ONE_AWAY, CLOSED]),
    ),
    min_size=1,
    max_size=4,
)
_EVENTS = st.lists(
    st.sampled_from(["", "", "", "before", "between", "settle", "rollout", "forward", "back"]),
    max_size=120,
)


@settings(max_examples=60)
@given(_OWNERS, st.integers(0, 2), st.integers(1, 5), _EVENTS)
def test_deaths_and_clock_jumps_change_nothing(
    owners: list[tuple[str, int, str]], bare: int, most: int, events: list[str]
) -> None:
    """Every pod is replaced, with one notice if it cannot be evicted."""
    pods = [
        view(f"{index}-{number}", f"o{index}", zone)
        for index, (zone, count, _) in enumerate(owners)
        for number in range(count)
    ]
    pods += [view(f"bare-{number}", "") for number in range(bare)]
    budgets = {f"o{index}": budget for index, (_, _, budget) in enumerate(owners)}
    model = Model({pod.uid: pod for pod in pods}, PatchCampaignSpec(maxUnavailable=most), budgets)
    calm = True
    for event in events:
        match event:
            case "settle":
                model.settle()
            case "rollout":
                old = [pod for pod in model.pods.values() if pod.owner]
                if old:
                    model.pods[old[0].uid] = replace(old[0], ends=model.now)
                    calm = False
            case "forward":
                model.now += timedelta(hours=30)
                calm = False
            case "back":
                model.now -= timedelta(hours=29)
            case _:
                model.step(event)
    model.run()
    assert not [p for p in model.pods.values() if p.name[0] != "n" and p.ends is None]
    by_pod = [pod for _, pod in model.notices]
    assert len(by_pod) == len(set(by_pod)), "a second notice"
    assert len(model.evicted) == len(set(model.evicted))
    assert set(model.deleted) <= set(by_pod)
    counts = _counts(model)
    assert counts["evicted"] + counts["terminated"] + counts["left"] == counts["subject"]
    if calm:
        assert model.most_away <= most
        closed = [pod.name for pod in pods if pod.owner and budgets[pod.owner.name] == CLOSED]
        assert sorted(by_pod) == sorted(closed) == sorted(set(model.deleted))


def test_the_names_of_the_model_are_the_campaigns() -> None:
    model = _model("a")
    assert (model.state.name, model.state.uid) == (NAME, UID)
    assert timestamp(T0) == "2026-11-24T10:00:00.000000Z"
