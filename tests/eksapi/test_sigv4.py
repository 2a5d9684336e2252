"""AWS's published vectors, botocore's signer, and requests that must be rejected."""

import datetime as dt
from dataclasses import replace
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from monopod.eksapi import sigv4
from monopod.eksapi.credential import ALGORITHM, Credential, Scope, read_credential
from monopod.eksapi.errors import EksError
from monopod.eksapi.signed_request import Request

pytestmark = pytest.mark.unit

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # noqa: S105 - published, for such tests
KEY_ID = "AKIDEXAMPLE"
_AT = dt.datetime(2015, 8, 30, 12, 36, tzinfo=dt.UTC)
_SCOPE = Scope("20150830", "us-east-1", "service")
_HOST = ("Host", "example.amazonaws.com")
_DATE = ("X-Amz-Date", "20150830T123600Z")
_FORM = ("Content-Type", "application/x-www-form-urlencoded")
_UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.row("S20")
@pytest.mark.parametrize(
    ("request_", "signature"),
    [
        pytest.param(
            Request("GET", "/"),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            id="get-vanilla",
        ),
        pytest.param(
            Request("GET", "/", "Param2=value2&Param1=value1"),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            id="get-vanilla-query-order-key-case",
        ),
        pytest.param(
            Request("POST", "/"),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            id="post-vanilla",
        ),
        pytest.param(
            Request("GET", "/\u1234"),
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
            id="get-utf8",
        ),
        pytest.param(
            Request("GET", f"/{_UNRESERVED}"),
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            id="get-unreserved",
        ),
        pytest.param(
            Request(
                "GET",
                "/",
                headers=(("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')),
            ),
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            id="get-header-value-trim",
        ),
        pytest.param(
            Request("GET", "/example/..//"),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            id="normalize-path",
        ),
    ],
)
def test_published_vectors(request_: Request, signature: str) -> None:
    whole = replace(request_, headers=(*request_.headers, _HOST, _DATE))
    names = [name.lower() for name, _ in whole.headers]
    assert sigv4.sign(whole, _SCOPE, names, _AT, SECRET) == signature


def by_header(
    method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> Request:
    """Botocore's request as a server receives it."""
    asked = AWSRequest(method, url, headers=headers or {}, data=body)
    SigV4Auth(Credentials(KEY_ID, SECRET), "eks", "local-1").add_auth(asked)
    return _received(asked, body)


def presigned(url: str, expires: int = 60) -> Request:
    asked = AWSRequest("GET", url)
    SigV4QueryAuth(Credentials(KEY_ID, SECRET), "eks", "local-1", expires=expires).add_auth(asked)
    return _received(asked, b"")


def _received(asked: AWSRequest, body: bytes) -> Request:
    sent = asked.prepare()
    parts = urlsplit(sent.url)
    headers = [
        (name, value.decode() if isinstance(value, bytes) else value)
        for name, value in sent.headers.items()
    ]
    return Request(sent.method, parts.path, parts.query, [("Host", parts.netloc), *headers], body)


def check(request: Request, now: dt.datetime | None = None) -> Credential:
    credential = read_credential(request)
    sigv4.verify(request, credential, SECRET, region="local-1", service="eks")
    sigv4.verify_time(credential, now or credential.at)
    return credential


_text = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), max_size=12)


@given(
    segments=st.lists(_text.filter(lambda text: text not in (".", "..")), max_size=4),
    query=st.lists(st.tuples(_text, _text), max_size=4),
    body=st.binary(max_size=40),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
)
def test_requests_signed_by_botocore_are_accepted(
    segments: list[str], query: list[tuple[str, str]], body: bytes, method: str
) -> None:
    path = "/".join(quote(segment, safe="") for segment in segments)
    url = f"https://100.127.1.6:6444/{path}"
    if query:
        url += "?" + "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in query)
    assert check(by_header(method, url, body)).key_id == KEY_ID
    assert check(presigned(url)).lifetime


_SIGNED = by_header(
    "POST", "https://100.127.1.6:6444/clusters/a%3Ab?x=1&y=2", b"{}", {"Content-Type": "a/b"}
)


@given(
    change=st.sampled_from(["method", "path", "query", "body", "host", "header"]),
    text=st.text(st.sampled_from("abc/%21&="), min_size=1, max_size=3),
)
def test_a_change_to_any_signed_part_is_rejected(change: str, text: str) -> None:
    headers = dict(_SIGNED.headers)
    forged = {
        "method": replace(_SIGNED, method=_SIGNED.method + "X"),
        "path": replace(_SIGNED, path=_SIGNED.path + "x" + text),
        "query": replace(_SIGNED, query=f"{_SIGNED.query}&q{text}"),
        "body": replace(_SIGNED, body=text.encode()),
        "host": replace(_SIGNED, headers=list((headers | {"Host": text}).items())),
        "header": replace(_SIGNED, headers=[*_SIGNED.headers, ("content-type", text)]),
    }[change]
    with pytest.raises(EksError) as raised:
        check(forged)
    assert (raised.value.code, raised.value.status) == ("InvalidSignatureException", 403)


@pytest.mark.parametrize(
    ("seconds", "refused"),
    [(-301, "expired"), (-300, ""), (0, ""), (300, ""), (301, "not yet current")],
)
def test_clocks_may_differ_by_five_minutes(seconds: int, refused: str) -> None:
    at = read_credential(_SIGNED).at
    now = at - dt.timedelta(seconds=seconds)
    if not refused:
        check(_SIGNED, now)
        return
    with pytest.raises(EksError, match=refused) as raised:
        check(_SIGNED, now)
    assert raised.value.code == "InvalidSignatureException"


@pytest.mark.parametrize(("after_s", "good"), [(-301, False), (0, True), (60, True), (61, False)])
def test_a_presigned_url_expires(after_s: int, good: bool) -> None:
    asked = presigned("https://100.127.1.6:6444/clusters", expires=60)
    now = read_credential(asked).at + dt.timedelta(seconds=after_s)
    if good:
        check(asked, now)
    else:
        with pytest.raises(EksError, match="Signature"):
            check(asked, now)


@pytest.mark.row("S19")
@pytest.mark.parametrize(("after_s", "good"), [(300, True), (301, False), (86_400, False)])
def test_a_presigned_url_lives_five_minutes_at_most(after_s: int, good: bool) -> None:
    asked = presigned("https://100.127.1.6:6444/clusters", expires=604_800)
    now = read_credential(asked).at + dt.timedelta(seconds=after_s)
    if good:
        check(asked, now)
    else:
        with pytest.raises(EksError, match="Signature expired"):
            check(asked, now)


_CREDENTIAL = f"{KEY_ID}/20150830/local-1/eks/aws4_request"


def _authorized(authorization: str, *headers: tuple[str, str]) -> Request:
    return Request("GET", "/clusters", "", [_HOST, *headers, ("Authorization", authorization)])


def _header(
    credential: str = _CREDENTIAL,
    signed: str = "host;x-amz-date",
    signature: str = "0" * 64,
) -> str:
    parts = f"Credential={credential}, SignedHeaders={signed}, Signature={signature}"
    return f"{ALGORITHM} {parts}"


_PRESIGNED = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
    + quote(_CREDENTIAL, safe="")
    + "&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Signature="
    + "0" * 64
)


@pytest.mark.parametrize(
    ("request_", "code", "says"),
    [
        (Request("GET", "/"), "MissingAuthenticationTokenException", "Missing"),
        (_authorized("Bearer x", _DATE), "IncompleteSignatureException", "algorithm"),
        (_authorized(ALGORITHM, _DATE), "IncompleteSignatureException", "'Credential'"),
        (_authorized(_header()), "IncompleteSignatureException", "'X-Amz-Date'"),
        (
            _authorized(_header(), ("X-Amz-Date", "yesterday")),
            "IncompleteSignatureException",
            "ISO-8601",
        ),
        (_authorized(_header("a/b/c"), _DATE), "IncompleteSignatureException", "slash-delimited"),
        (_authorized(_header(signature="x"), _DATE), "InvalidSignatureException", "hexadecimal"),
        (_authorized(_header(), _DATE), "InvalidSignatureException", "does not match"),
        (
            _authorized(_header(_CREDENTIAL.replace("eks", "s3")), _DATE),
            "InvalidSignatureException",
            "correct service: 'eks'",
        ),
        (
            _authorized(_header(_CREDENTIAL.replace("local-1", "eu-1")), _DATE),
            "InvalidSignatureException",
            "valid region, 'local-1'",
        ),
        (
            _authorized(_header(_CREDENTIAL.replace("0830", "0831")), _DATE),
            "InvalidSignatureException",
            "Date in Credential scope",
        ),
        (
            _authorized(_header(signed="x-amz-date"), _DATE),
            "InvalidSignatureException",
            "'host' must be a 'SignedHeader'",
        ),
        (
            _authorized(_header(), _DATE, ("X-Amz-Target", "x")),
            "InvalidSignatureException",
            "'x-amz-target' must be a 'SignedHeader'",
        ),
        (
            _authorized(_header(signed="host;x-amz-date;range"), _DATE),
            "InvalidSignatureException",
            "'range' is not in the request",
        ),
        (
            _authorized(
                _header(signed="host;x-amz-content-sha256;x-amz-date"),
                _DATE,
                ("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"),
            ),
            "InvalidSignatureException",
            "not the hash",
        ),
        (
            Request("GET", "/", _PRESIGNED, [_HOST]),
            "IncompleteSignatureException",
            "'X-Amz-Expires'",
        ),
        (
            Request("GET", "/", _PRESIGNED + "&X-Amz-Expires=604801", [_HOST]),
            "InvalidSignatureException",
            "604800",
        ),
        (
            Request("GET", "/", _PRESIGNED + "&X-Amz-Expires=60", [_HOST]),
            "InvalidSignatureException",
            "does not match",
        ),
    ],
)
def test_rejections_and_their_reasons(request_: Request, code: str, says: str) -> None:
    with pytest.raises(EksError) as raised:
        check(request_)
    assert raised.value.code == code
    assert says in raised.value.message


@given(
    authorization=st.text(max_size=60) | st.from_regex(r"AWS4-HMAC-SHA256 .{0,60}"),
    date=st.text(max_size=20),
    query=st.text(max_size=60),
)
def test_arbitrary_headers_are_rejected(authorization: str, date: str, query: str) -> None:
    for headers in ((("Authorization", authorization), ("X-Amz-Date", date)), ()):
        for prefix in ("", "X-Amz-Algorithm=AWS4-HMAC-SHA256&"):
            with pytest.raises(EksError):
                check(Request("GET", "/\udcff", prefix + query, headers))
