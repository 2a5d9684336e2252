"""Docker's credentials file: usable entries, faults, and that no fault contains a credential."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lightkube.resources.core_v1 import Secret

from monopod.controllers.microvm.registry_secrets import KIND, first_of_each, pattern_of, read
from monopod.identity.pull_grant import RegistryCredential

pytestmark = pytest.mark.unit

_WORD = st.text(st.characters(codec="utf-8", exclude_characters=":\0"), min_size=1)


def _secret(content: Any, kind: str = KIND, key: str = ".dockerconfigjson") -> Secret:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return msgspec.convert({"type": kind, "data": {key: base64.b64encode(text).decode()}}, Secret)


def _pair(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@given(username=_WORD, password=_WORD, padded=st.booleans())
def test_user_name_and_password_are_read_from_either_form(
    username: str, password: str, padded: bool
) -> None:
    pair = _pair(f"{username}:{password}")
    found = read(
        _secret(
            {
                "auths": {
                    "a.test": {"auth": pair if padded else pair.rstrip("=")},
                    "b.test": {"username": username, "password": password, "email": "x@test"},
                }
            }
        )
    )
    assert found.credentials == (
        RegistryCredential("a.test", username, password),
        RegistryCredential("b.test", username, password),
    )
    assert found.faults == ()


def test_a_password_may_hold_colons() -> None:
    (found,) = read(_secret({"auths": {"a.test": {"auth": _pair("me:a:b:\0\0")}}})).credentials
    assert (found.username, found.password) == ("me", "a:b:")


@pytest.mark.parametrize(
    ("written", "pattern"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("https://registry.test:5000", "registry.test:5000"),
        ("http://registry.test/v2/", "registry.test"),
        ("registry.test/v1/team", "registry.test/team"),
        ("registry.test/team/app", "registry.test/team/app"),
        ("*.dkr.registry.test", "*.dkr.registry.test"),
        ("192.0.2.1:5000", "192.0.2.1:5000"),
        ("", None),
        ("https://", None),
        ("registry.test:port", None),
        ("[2001:db8::1]:5000", None),
        ("registry.test/Team", None),
        ("registry.test?x", None),
        ("registry.test\nregistry.test", None),
        ("..", None),
        ("a b", None),
    ],
)
def test_registry_names_become_kubelet_image_patterns(written: str, pattern: str | None) -> None:
    assert pattern_of(written) == pattern


@pytest.mark.parametrize(
    ("secret", "fault"),
    [
        (_secret({}, kind="Opaque"), "is of type Opaque, not kubernetes.io/dockerconfigjson"),
        (_secret({"auths": {}}, key="config.json"), "has no .dockerconfigjson that can be read"),
        (_secret(b"needle"), "has no .dockerconfigjson that can be read"),
        (_secret({"needle": {}}), "has no .dockerconfigjson that can be read"),
        (_secret({"auths": {"a.test": {"auth": 1}}}), "that can be read"),
        (_secret({"auths": {"a.test": {"auth": "needle"}}}), "has no user name and password for"),
        (_secret({"auths": {"a.test": {"identitytoken": "needle"}}}), "has no user name and"),
        (_secret({"auths": {"a.test": {"auth": _pair("needle")}}}), "has no user name and"),
        (_secret({"auths": {"a b": {"auth": _pair("needle:needle")}}}), "which is no registry"),
    ],
)
def test_faults_are_reported_without_credentials(secret: Secret, fault: str) -> None:
    found = read(secret)
    assert found.credentials == ()
    assert fault in found.faults[0]
    assert "needle" not in found.faults[0]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(content=st.binary() | st.fixed_dictionaries({"auths": _JSON}) | _JSON)
@example(content={"auths": {"a.test": {"auth": "\ud800"}}})
def test_any_content_of_a_secret_is_handled(content: Any) -> None:
    found = read(_secret(content))
    assert found.credentials or found.faults or content == {"auths": {}}


def test_the_first_credential_of_a_registry_wins() -> None:
    first, second = RegistryCredential("a.test", "1", "1"), RegistryCredential("a.test", "2", "2")
    assert first_of_each([first, second]) == (first,)


def test_a_credentials_repr_hides_it() -> None:
    assert "needle" not in repr(RegistryCredential("a.test", "needle", "needle"))
