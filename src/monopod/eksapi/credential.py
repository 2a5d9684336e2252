"""Parses the credential and signature of a signed request (AWS Signature Version 4; no I/O).

Both forms are supported: the header ``Authorization``, and presigned URLs. Nothing is verified
here: see :mod:`monopod.eksapi.sigv4`.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from monopod.eksapi.errors import EksError, invalid_signature
from monopod.eksapi.signed_request import Request

ALGORITHM: Final = "AWS4-HMAC-SHA256"
LONGEST: Final = dt.timedelta(days=7)
"""The longest lifetime of a presigned URL."""
TERMINATOR: Final = "aws4_request"
ISO: Final = "%Y%m%dT%H%M%SZ"
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}")
_QUERY_PREFIX: Final = "X-Amz-"


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
        return "/".join((self.day, self.region, self.service, TERMINATOR))


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


def read_credential(request: Request) -> Credential:
    """Parse a request's credential and signature.

    Raises:
        EksError: The request is not signed, or not in this version's form.
    """
    headers = request.headers_by_name
    if authorization := headers.get("authorization"):
        return _from_header(authorization, headers)
    parameters = {
        name.decode(errors="replace"): value.decode(errors="replace")
        for name, value in request.parameters
    }
    if "X-Amz-Algorithm" in parameters:
        return _from_query(parameters)
    raise EksError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)


def _from_header(authorization: str, headers: Mapping[str, str]) -> Credential:
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
    return _credential(given, _date(dated), None, headers.get("x-amz-security-token"))


def _from_query(parameters: Mapping[str, str]) -> Credential:
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
        raise invalid_signature(f"X-Amz-Expires must be a number of seconds from 1 to {longest}.")
    lifetime = dt.timedelta(seconds=int(seconds))
    token = parameters.get("X-Amz-Security-Token")
    return _credential(given, _date(given["Date"]), lifetime, token)


def _credential(
    given: Mapping[str, str], at: dt.datetime, lifetime: dt.timedelta | None, token: str | None
) -> Credential:
    credential, signature = given["Credential"], given["Signature"]
    parts = credential.split("/")
    if len(parts) != 5 or parts[-1] != TERMINATOR:
        raise _incomplete(
            f"Credential must have exactly 5 slash-delimited elements, e.g."
            f" keyid/date/region/service/{TERMINATOR}, got '{credential[:200]}'"
        )
    if not _SIGNATURE.fullmatch(signature):
        raise invalid_signature("The signature is not 64 hexadecimal digits.")
    key_id, day, region, service, _ = parts
    names = tuple(name.lower() for name in given["SignedHeaders"].split(";"))
    return Credential(key_id, Scope(day, region, service), names, signature, at, lifetime, token)


def _date(text: str) -> dt.datetime:
    try:
        return dt.datetime.strptime(text, ISO).replace(tzinfo=dt.UTC)
    except ValueError:
        pass
    try:
        read = parsedate_to_datetime(text)
        return (read if read.tzinfo else read.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, OverflowError, IndexError, TypeError) as error:
        raise _incomplete(f"Date must be in ISO-8601 'basic format'. Got '{text[:50]}'.") from error


def _incomplete(message: str) -> EksError:
    return EksError("IncompleteSignatureException", message, 400)
