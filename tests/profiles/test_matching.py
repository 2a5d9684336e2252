from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightkube.models.meta_v1 import ObjectMeta
from msgspec import convert

from monopod.api import keys
from monopod.api.resources import FargateProfile, FargateProfileStatus
from monopod.fargate.profiles import Outcome, choose_profile, matching_labels

pytestmark = pytest.mark.unit


def profile(name: str, *selectors: dict[str, Any]) -> FargateProfile:
    return convert({"metadata": {"name": name}, "spec": {"selectors": selectors}}, FargateProfile)


def chosen(profiles: list[FargateProfile], namespace: str, **labels: str) -> str | None:
    return choose_profile(profiles, namespace, labels, None).profile


@pytest.mark.row("S2")
@pytest.mark.parametrize(
    ("selector", "namespace", "labels", "expected"),
    [
        ({"namespace": "prod"}, "prod", {}, True),
        ({"namespace": "prod"}, "prod", {"any": "thing"}, True),
        ({"namespace": "prod"}, "dev", {}, False),
        ({"namespace": "p*", "labels": {"a": "1"}}, "prod", {"a": "1", "b": "2"}, True),
        ({"namespace": "p*", "labels": {"a": "1", "b": "2"}}, "prod", {"a": "1"}, False),
        ({"namespace": "p*", "labels": {"a": "1"}}, "prod", {"a": "2"}, False),
        ({"namespace": "p*", "labels": {"a?": "x*"}}, "prod", {"a1": "y", "a2": "xyz"}, True),
        ({"namespace": "p*", "labels": {"a?": "x*"}}, "prod", {"a1": "y", "b2": "xyz"}, False),
        ({"namespace": "p*", "labels": {"a": "*"}}, "prod", {"a": ""}, True),
    ],
)
def test_selectors(
    selector: dict[str, Any], namespace: str, labels: dict[str, str], expected: bool
) -> None:
    found = choose_profile([profile("fp", selector)], namespace, labels, None)
    assert found.profile == ("fp" if expected else None)
    assert found.outcome is (Outcome.CHOSEN if expected else Outcome.NO_MATCH)
    assert found.verdicts[0].selectors[0].matched is expected


def test_any_selector_is_enough() -> None:
    fp = profile("fp", {"namespace": "a"}, {"namespace": "b"})
    assert chosen([fp], "b") == "fp"


@given(st.permutations(["b", "a-1", "a", "a1", "b10", "b2"]))
def test_the_alphanumerically_first_name_wins(names: list[str]) -> None:
    assert chosen([profile(name, {"namespace": "*"}) for name in names], "x") == "a"


def test_the_label_names_the_profile_which_must_match() -> None:
    profiles = [profile("a", {"namespace": "x"}), profile("b", {"namespace": "*"})]
    assert chosen(profiles, "x") == "a"
    assert chosen(profiles, "x", **{keys.PROFILE_LABEL: "b"}) == "b"

    mismatch = choose_profile(profiles, "y", {keys.PROFILE_LABEL: "a"}, None)
    assert (mismatch.profile, mismatch.outcome) == (None, Outcome.NAMED_MISMATCH)
    assert "a does not (namespace y is not x)" in mismatch.message

    unknown = choose_profile(profiles, "y", {keys.PROFILE_LABEL: "c"}, None)
    assert (unknown.profile, unknown.outcome) == (None, Outcome.NAMED_UNKNOWN)
    assert "names Fargate profile c, which does not exist" in unknown.message


@pytest.mark.parametrize(
    ("namespace", "runtime_class", "expected"),
    [
        ("team-a", "monopod", "classed"),
        ("team-a", "kata", None),
        ("team-a", None, None),
        # A class gives no namespace a profile that does not select the namespace.
        ("shop", "monopod", None),
        # Precedence is as ever.
        ("team-own", "monopod", "a-team"),
    ],
)
def test_a_runtime_class_is_matched_as_a_label(
    namespace: str, runtime_class: str | None, expected: str | None
) -> None:
    profiles = [
        profile("a-team", {"namespace": "team-own"}),
        profile(
            "classed", {"namespace": "team-*", "labels": {"monopod.dev/runtime-class": "monopod"}}
        ),
    ]
    labels = matching_labels({"app": "web"}, runtime_class)
    assert choose_profile(profiles, namespace, labels, None).profile == expected


def test_a_label_does_not_hide_the_runtime_class() -> None:
    labels = matching_labels({keys.RUNTIME_CLASS_LABEL: "monopod"}, "kata")
    assert labels == {keys.RUNTIME_CLASS_LABEL: "kata"}


def test_the_annotation_opts_out() -> None:
    profiles = [profile("a", {"namespace": "*"})]
    found = choose_profile(profiles, "x", None, {keys.COMPUTE_TYPE_KEY: "ec2"})
    assert (found.profile, found.outcome) == (None, Outcome.OPTED_OUT)
    found = choose_profile(profiles, "x", None, {keys.COMPUTE_TYPE_KEY: "fargate"})
    assert found.profile == "a"


@pytest.mark.parametrize(
    ("status", "usable"),
    [("", True), ("CREATING", True), ("ACTIVE", True), ("CREATE_FAILED", False),
     ("DELETING", False), ("DELETE_FAILED", False)],
)  # fmt: skip
def test_a_profile_that_failed_or_goes_yields_to_the_next(status: str, usable: bool) -> None:
    first, second = profile("a", {"namespace": "*"}), profile("b", {"namespace": "*"})
    first.status = FargateProfileStatus(status=status)
    assert chosen([first, second], "x") == ("a" if usable else "b")


def test_a_profile_that_failed_is_better_than_none() -> None:
    failed = profile("a", {"namespace": "*"})
    failed.status = FargateProfileStatus(status="CREATE_FAILED")
    assert chosen([failed], "x") == "a"
    assert chosen([failed], "x", **{keys.PROFILE_LABEL: "a"}) == "a"


def test_a_profile_marked_for_deletion_takes_no_pods() -> None:
    going = profile("a", {"namespace": "*"})
    going.metadata = ObjectMeta(name="a", deletionTimestamp=datetime.now(UTC))
    found = choose_profile([going], "x", None, None)
    assert found.profile is None
    assert found.message == "No Fargate profile matches the pod: a is being deleted."


def test_the_message_of_a_waiting_pod_does_not_change_with_each_new_profile() -> None:
    many = [profile(name, {"namespace": "y"}) for name in "abcd"]
    message = choose_profile(many, "x", None, None).message
    assert message.endswith("c does not (namespace x is not y); nor does any other.")
    many.append(profile("e", {"namespace": "z"}))
    assert choose_profile(many, "x", None, None).message == message


def test_each_profile_and_selector_has_its_reasons() -> None:
    found = choose_profile(
        [
            profile("b", {"namespace": "shop", "labels": {"tier": "web", "app": "x*"}}),
            profile("a", {"namespace": "dev"}, {"namespace": "test*"}),
        ],
        "shop",
        {"app": "cart"},
        None,
    )
    assert found.message == (
        "No Fargate profile matches the pod:"
        " a does not (namespace shop is not dev or namespace shop is not test*);"
        " b does not (label app is cart, not x*, the pod has no label tier)."
    )
    assert choose_profile([], "x", None, None).message == (
        "There is no Fargate profile in this cluster."
    )


_patterns = st.text("ab*?", min_size=1, max_size=3)
_selectors = st.lists(
    st.fixed_dictionaries(
        {"namespace": _patterns}, optional={"labels": st.dictionaries(_patterns, _patterns)}
    ),
    max_size=3,
)


@given(
    st.dictionaries(st.sampled_from("cab"), st.tuples(_selectors, st.booleans())),
    st.text("ab", max_size=3),
    st.dictionaries(st.text("ab", min_size=1, max_size=2), st.text("ab", max_size=2)),
)
def test_the_choice_is_what_the_reasons_say(
    wanted: dict[str, tuple[list[dict[str, Any]], bool]], namespace: str, labels: dict[str, str]
) -> None:
    every = [profile(name, *selectors) for name, (selectors, _) in wanted.items()]
    for each in every:
        failed = wanted[(each.metadata or ObjectMeta()).name or ""][1]
        each.status = FargateProfileStatus(status="CREATE_FAILED" if failed else "ACTIVE")
    found = choose_profile(every, namespace, labels, None)
    fit = sorted((each.failed, each.profile) for each in found.verdicts if each.matched)
    assert found.profile == (fit[0][1] if fit else None)
