from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert

from monopod.api.resources import FargateProfile
from monopod.fargate.profiles import blocked_by_other_profile, choose_profile, with_same_selectors

pytestmark = pytest.mark.unit

_NOW = datetime(2026, 11, 23, tzinfo=UTC)


def profile(name: str, word: str = "ACTIVE", namespace: str = "shop") -> FargateProfile:
    metadata = {"name": name, "deletionTimestamp": _NOW if word.startswith("DELET") else None}
    spec = {"selectors": [{"namespace": namespace}]}
    return convert({"metadata": metadata, "spec": spec, "status": {"status": word}}, FargateProfile)


@pytest.mark.row("S2")
@pytest.mark.parametrize(
    ("words", "announced", "creating", "deleting"),
    [
        ([], [], None, None),
        (["ACTIVE", "CREATE_FAILED", "DELETE_FAILED"], [], "fp-2 in status DELETING", "same"),
        (["ACTIVE", "CREATE_FAILED"], [], None, None),
        (["CREATING"], [], "fp-0 in status CREATING", None),
        ([""], [], "fp-0 in status CREATING", None),
        (["ACTIVE", "DELETING"], [], "fp-1 in status DELETING", "same"),
        ([], ["early"], "early in status CREATING", None),
        (["ACTIVE"], ["fp-0"], None, None),
        ([], ["new"], None, None),
    ],
)
def test_one_profile_at_a_time(
    words: list[str], announced: list[str], creating: str | None, deleting: str | None
) -> None:
    every = [profile(f"fp-{number}", word) for number, word in enumerate(words)]
    for verb, expected in (
        ("create", creating),
        ("delete", creating if deleting == "same" else deleting),
    ):
        said = blocked_by_other_profile(
            "new", every, cluster="c", deleting=verb == "delete", announced=announced
        )
        assert said == (
            expected
            and f"Cannot {verb} Fargate Profile new because cluster c currently has Fargate"
            f" profile {expected}"
        )


def test_a_profile_does_not_block_itself() -> None:
    going = profile("fp", "DELETING")
    assert blocked_by_other_profile("fp", [going], cluster="c", deleting=True) is None


@given(
    st.lists(
        st.builds(
            profile,
            st.sampled_from("abcdef"),
            st.sampled_from(["", "CREATING", "ACTIVE", "CREATE_FAILED", "DELETING"]),
            st.sampled_from(["shop", "s*"]),
        ),
        unique_by=lambda each: each.metadata.name if each.metadata else None,
        min_size=1,
    )
)
def test_the_winner_among_twins_is_the_one_that_gets_the_pods(every: list[FargateProfile]) -> None:
    alike = [each for each in every if each.spec.selectors[0].namespace == "shop"]
    chosen = choose_profile(alike, "shop", None, None).profile
    for each in alike:
        names = with_same_selectors(each, every)
        if each.metadata and each.metadata.deletionTimestamp is None:
            assert names[0] == chosen
