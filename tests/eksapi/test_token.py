"""Tokens of the aws command, and tokens that must be rejected."""

import base64
import datetime as dt
import json
import ssl
import urllib.request
from typing import Any

import pytest
from awscli.customizations.eks.get_token import STSClientFactory, TokenGenerator
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from monopod.eksapi.errors import EksError
from monopod.eksapi.token import LIFETIME, bearer
from monopod.identity.access_key import AccessKey, new_access_key
from tests.eksapi.conftest import Running

_KEY = new_access_key("monopod:admin", ["system:masters"])
_KEYS = {_KEY.id: _KEY}
_PREFIX = "k8s-aws-v1."
_MINUTE = dt.timedelta(minutes=1)


def token_of(key: AccessKey, cluster: str = "monopod") -> str:
    session = Session()
    session.set_credentials(key.id, key.secret)
    client = STSClientFactory(session).get_sts_client(region_name="local-1")
    return TokenGenerator(client).get_token(cluster)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.mark.unit
@pytest.mark.row("S20")
@pytest.mark.parametrize("after", [-4 * _MINUTE, 0 * _MINUTE, LIFETIME - _MINUTE])
def test_a_token_authenticates_its_key(after: dt.timedelta) -> None:
    assert bearer(token_of(_KEY), "monopod", _KEYS, _now() + after) is _KEY


@pytest.mark.unit
@pytest.mark.parametrize("after", [-6 * _MINUTE, LIFETIME + _MINUTE])
def test_a_token_is_valid_for_fifteen_minutes(after: dt.timedelta) -> None:
    with pytest.raises(EksError, match="it was signed at"):
        bearer(token_of(_KEY), "monopod", _KEYS, _now() + after)


@pytest.mark.unit
def test_a_token_of_another_cluster_is_rejected() -> None:
    with pytest.raises(EksError, match="does not match"):
        bearer(token_of(_KEY, "other"), "monopod", _KEYS, _now())


@pytest.mark.unit
def test_a_token_of_an_unknown_key_is_rejected() -> None:
    with pytest.raises(EksError, match="not known"):
        bearer(token_of(new_access_key("x")), "monopod", _KEYS, _now())
    forged = AccessKey(_KEY.id, new_access_key("x").secret, "x")
    with pytest.raises(EksError, match="does not match"):
        bearer(token_of(forged), "monopod", _KEYS, _now())


def _altered(old: str, new: str) -> str:
    text = token_of(_KEY).removeprefix(_PREFIX)
    url = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    assert old in url
    return _wrapped(url.replace(old, new, 1))


def _wrapped(url: str) -> str:
    return _PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


@pytest.mark.unit
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://", "http://"),
        (".com/?", ".com/x?"),
        (".com/?", ".net/?"),
        ("GetCallerIdentity", "AssumeRole"),
        ("Action=", "Other=1&Action="),
        ("Action=", "Action=x&Action="),
        ("Version=2011", "Version=2012"),
        ("%3Bx-k8s-aws-id", ""),
        ("%2Fsts%2F", "%2Feks%2F"),
        ("X-Amz-Expires=60", "X-Amz-Expires=600"),
    ],
)
def test_an_altered_token_is_rejected(old: str, new: str) -> None:
    with pytest.raises(EksError):
        bearer(_altered(old, new), "monopod", _KEYS, _now())


@pytest.mark.unit
@given(text=st.text(max_size=80), url=st.text(max_size=80))
def test_arbitrary_text_is_rejected(text: str, url: str) -> None:
    for token in (text, _PREFIX + text, _wrapped("https://sts.x/?" + url)):
        with pytest.raises(EksError):
            bearer(token, "monopod", _KEYS, _now())


def _asked(running: Running, body: object) -> Any:
    context = ssl.create_default_context(cafile=running.authority)
    request = urllib.request.Request(running.tokens, json.dumps(body).encode())  # noqa: S310
    with urllib.request.urlopen(request, context=context) as answer:  # noqa: S310
        return json.load(answer)


@pytest.mark.api
def test_the_token_review(running: Running) -> None:
    key = running.administrator
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
    answer = _asked(running, {**review, "spec": {"token": token_of(key)}})
    assert answer["status"] == {
        "authenticated": True,
        "user": {
            "username": "admin",
            "groups": ["system:masters"],
            "extra": {"accessKeyId": [key.id]},
        },
    }
    answer = _asked(running, {**review, "spec": {"token": token_of(running.stranger)}})
    assert answer["status"]["authenticated"] is False
