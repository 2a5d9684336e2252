"""AWS Signature Version 4: verifies that a request was signed with a key (no I/O).

Source: the AWS General Reference, "Signature Version 4 signing process". Both forms are supported:
the header ``Authorization``, and presigned URLs.
"""

import datetime as dt
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from monopod.eksapi.errors import EksError

ALGORITHM: Final = "AWS4-HMAC-SHA256"
SKEW: Final = dt.timedelta(minutes=5)
"""The permitted clock skew of clients."""
LONGEST: Final = dt.timedelta(days=7)
"""The longest lifetime of a presigned URL."""
_TERMINATOR: Final = "aws4_request"
_ISO: Final = "%Y%m%dT%H%M%SZ"
_UNRESERVED: Final = "-_.~"
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}")
_QUERY_PREFIX: Final = "X-Amz-"
_SIGNATURE_PARAMETER: Final = "X-Amz-Signature"

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """A request exactly as received."""

    method: str
    path: str
    """Percent-encoded."""
    query: str = ""
    """Percent-encoded, without the question mark."""
    headers: Headers = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Scope:
    """A credential scope."""

    day: str
    """``YYYYMMDD``."""
    region: str
    service: str

    @property
    def text(self) -> str:
        """Its form in signatures."""
        return "/".join((self.day, self.region, self.service, _TERMINATOR))


@dataclass(frozen=True, slots=True)
class Credential:
    """The unverified credential and signature of a request."""

    key_id: str
    scope: Scope
    signed_headers: tuple[str, ...]
    signature: str
    at: dt.datetime
    lifetime: dt.timedelta | None
    """Of a presigned URL; None means a signed header, which the clock skew limits."""
    token: str | None
    """A session token, if one was sent."""

    @property
    def presigned(self) -> bool:
        """Whether the signature is in the URL."""
        return self.lifetime is not None


def read_credential(request: Request) -> Credential:
    """Parse a request's credential and signature.

    Raises:
        EksError: The request is not signed, or not in this version's form.
    """
    headers = _grouped(request.headers)
    if authorization := headers.get("authorization"):
        return _claim_of_header(authorization, headers)
    parameters = {
        name.decode(errors="replace"): value.decode(errors="replace")
        for name, value in _parameters(request.query)
    }
    if "X-Amz-Algorithm" in parameters:
        return _claim_of_query(parameters)
    raise EksError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)


def verify(
    request: Request, claim: Credential, secret: str, *, region: str | None, service: str
) -> None:
    """Verify a request's scope and signature; :func:`verify_time` verifies its time.

    Args:
        request: As received.
        claim: The result of :func:`read_credential`.
        secret: The secret of the claim's key.
        region: The required region; None means any.
        service: The required service.

    Raises:
        EksError: The signature does not match, or has another scope.
    """
    if region is not None and claim.scope.region != region:
        raise _bad(f"Credential should be scoped to a valid region, '{region}'. ")
    if claim.scope.service != service:
        raise _bad(f"Credential should be scoped to correct service: '{service}'. ")
    if claim.scope.day != claim.at.strftime("%Y%m%d"):
        raise _bad("Date in Credential scope does not match the day of the request's date.")
    headers = _grouped(request.headers)
    must = {"host", *(name for name in headers if name.startswith("x-amz-"))}
    if unsigned := sorted(must - set(claim.signed_headers)):
        raise _bad(f"'{unsigned[0]}' must be a 'SignedHeader' in the AWS Credential.")
    if missing := sorted(set(claim.signed_headers) - set(headers)):
        raise _bad(f"The signed header '{missing[0]}' is not in the request.")
    digest = hashlib.sha256(request.body).hexdigest()
    if headers.get("x-amz-content-sha256", digest) != digest:
        raise _bad("The header 'X-Amz-Content-SHA256' is not the hash of the request's body.")
    wanted = sign(request, claim.scope, claim.signed_headers, claim.at, secret)
    if not hmac.compare_digest(wanted, claim.signature):
        raise _bad(
            "The request signature we calculated does not match the signature you provided. Check"
            " your AWS Secret Access Key and signing method. Consult the service documentation for"
            " details."
        )


def verify_time(claim: Credential, now: dt.datetime) -> None:
    """Reject a request that has expired or is dated in the future.

    Raises:
        EksError: It is rejected.
    """
    said, here = claim.at.strftime(_ISO), now.strftime(_ISO)
    if claim.at > now + SKEW:
        until = (now + SKEW).strftime(_ISO)
        raise _bad(
            f"Signature not yet current: {said} is still later than {until} ({here} + 5 min.)"
        )
    if claim.lifetime is not None:
        if claim.at + claim.lifetime < now:
            until = (claim.at + claim.lifetime).strftime(_ISO)
            raise _bad(f"Signature expired: {until} is now earlier than {here}")
    elif claim.at < now - SKEW:
        since = (now - SKEW).strftime(_ISO)
        raise _bad(f"Signature expired: {said} is now earlier than {since} ({here} - 5 min.)")


def sign(
    request: Request,
    scope: Scope,
    signed_headers: Sequence[str],
    at: dt.datetime,
    secret: str,
) -> str:
    """Return the signature of a request, in hexadecimal digits."""
    text = string_to_sign(canonical_request(request, signed_headers), scope, at)
    key = f"AWS4{secret}".encode()
    for part in (scope.day, scope.region, scope.service, _TERMINATOR):
        key = hmac.digest(key, _bytes(part), "sha256")
    return hmac.digest(key, _bytes(text), "sha256").hex()


def string_to_sign(canonical: str, scope: Scope, at: dt.datetime) -> str:
    """Return the string to sign."""
    digest = hashlib.sha256(_bytes(canonical)).hexdigest()
    return "\n".join((ALGORITHM, at.strftime(_ISO), scope.text, digest))


def canonical_request(request: Request, signed_headers: Sequence[str]) -> str:
    """Return the canonical request."""
    headers = _grouped(request.headers)
    names = sorted(set(signed_headers))
    return "\n".join(
        (
            request.method,
            quote(_bytes(_normal(request.path)), safe="/" + _UNRESERVED),
            _canonical_query(request.query),
            *(f"{name}:{headers.get(name, '')}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def _canonical_query(query: str) -> str:
    encoded = sorted(
        (quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED))
        for name, value in _parameters(query)
        if name != _SIGNATURE_PARAMETER.encode()
    )
    return "&".join(f"{name}={value}" for name, value in encoded)


def _parameters(query: str) -> list[tuple[bytes, bytes]]:
    # As bytes: different invalid UTF-8 sequences must not become equal.
    pairs = (part.partition("=") for part in query.split("&") if part)
    return [(unquote_to_bytes(_bytes(name)), unquote_to_bytes(_bytes(v))) for name, _, v in pairs]


def _bytes(text: str) -> bytes:
    # HTTP servers pass bytes that are not UTF-8 as surrogates.
    return text.encode(errors="surrogateescape")


def _normal(path: str) -> str:
    """Return a path without ``.``, ``..`` and empty segments; a trailing slash stays."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if kept and path.endswith(("/", "/.", "/..")) else ""
    return "/" + "/".join(kept) + end


def _grouped(headers: Headers) -> Mapping[str, str]:
    """Return headers by lower-case name: values trimmed, inner blanks folded, repeats joined."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(" ".join(value.split()))
    return {name: ",".join(values) for name, values in found.items()}


def _claim_of_header(authorization: str, headers: Mapping[str, str]) -> Credential:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise _incomplete(f"Unsupported signature algorithm: only {ALGORITHM} is known.")
    pairs = (part.strip().partition("=") for part in rest.split(","))
    given = {name: value for name, _, value in pairs}
    dated = headers.get("x-amz-date") or headers.get("date")
    wants = [
        f"Authorization header requires '{name}' parameter."
        for name in ("Credential", "Signature", "SignedHeaders")
        if not given.get(name)
    ]
    if not dated:
        wants.append(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
    if wants or not dated:
        raise _incomplete(" ".join(wants))
    return _claim(given, _moment(dated), None, headers.get("x-amz-security-token"))


def _claim_of_query(parameters: Mapping[str, str]) -> Credential:
    if parameters["X-Amz-Algorithm"] != ALGORITHM:
        raise _incomplete(f"Unsupported signature algorithm: only {ALGORITHM} is known.")
    names = ("Credential", "Date", "Expires", "SignedHeaders", "Signature")
    given = {name: parameters.get(_QUERY_PREFIX + name, "") for name in names}
    if wants := [
        f"AWS query-string parameters must include '{_QUERY_PREFIX}{name}'."
        for name, value in given.items()
        if not value
    ]:
        raise _incomplete(" ".join(wants))
    seconds = given["Expires"]
    longest = int(LONGEST.total_seconds())
    if not re.fullmatch(r"[0-9]{1,6}", seconds) or not 1 <= int(seconds) <= longest:
        raise _bad(f"X-Amz-Expires must be a number of seconds from 1 to {longest}.")
    lifetime = dt.timedelta(seconds=int(seconds))
    return _claim(given, _moment(given["Date"]), lifetime, parameters.get("X-Amz-Security-Token"))


def _claim(
    given: Mapping[str, str], at: dt.datetime, lifetime: dt.timedelta | None, token: str | None
) -> Credential:
    credential, signature = given["Credential"], given["Signature"]
    parts = credential.split("/")
    if len(parts) != 5 or parts[-1] != _TERMINATOR:
        raise _incomplete(
            f"Credential must have exactly 5 slash-delimited elements, e.g."
            f" keyid/date/region/service/{_TERMINATOR}, got '{credential[:200]}'"
        )
    if not _SIGNATURE.fullmatch(signature):
        raise _bad("The signature is not 64 hexadecimal digits.")
    key_id, day, region, service, _ = parts
    names = tuple(name.lower() for name in given["SignedHeaders"].split(";"))
    return Credential(key_id, Scope(day, region, service), names, signature, at, lifetime, token)


def _moment(text: str) -> dt.datetime:
    try:
        return dt.datetime.strptime(text, _ISO).replace(tzinfo=dt.UTC)
    except ValueError:
        pass
    try:
        read = parsedate_to_datetime(text)
        return (read if read.tzinfo else read.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, OverflowError, IndexError, TypeError) as error:
        raise _incomplete(f"Date must be in ISO-8601 'basic format'. Got '{text[:50]}'.") from error


def _incomplete(message: str) -> EksError:
    return EksError("IncompleteSignatureException", message, 400)


def _bad(message: str) -> EksError:
    return EksError("InvalidSignatureException", message, 403)
