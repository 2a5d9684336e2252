"""AWS Signature Version 4: verifies that a request was signed with a key (no I/O).

Source: the AWS General Reference, "Signature Version 4 signing process".
"""

import datetime as dt
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from monopod.eksapi.credential import ALGORITHM, ISO, TERMINATOR, Credential, Scope
from monopod.eksapi.errors import invalid_signature
from monopod.eksapi.signed_request import Request, encoded

SKEW: Final = dt.timedelta(minutes=5)
"""The permitted clock skew of clients, and the longest that a presigned request is valid: a URL
ends up in logs and histories, and AWS's limit is seven days."""
_UNRESERVED: Final = "-_.~"
_SIGNATURE_PARAMETER: Final = "X-Amz-Signature"


def verify(
    request: Request, credential: Credential, secret: str, *, region: str | None, service: str
) -> None:
    """Verify a request's scope and signature; :func:`verify_time` verifies its time.

    Args:
        request: As received.
        credential: The result of :func:`~monopod.eksapi.credential.read_credential`.
        secret: The secret of the credential's key.
        region: The required region; None means any.
        service: The required service.

    Raises:
        EksError: The signature does not match, or has another scope.
    """
    if region is not None and credential.scope.region != region:
        raise invalid_signature(f"Credential should be scoped to a valid region, '{region}'. ")
    if credential.scope.service != service:
        raise invalid_signature(f"Credential should be scoped to correct service: '{service}'. ")
    if credential.scope.day != credential.at.strftime("%Y%m%d"):
        raise invalid_signature(
            "Date in Credential scope does not match the day of the request's date."
        )
    headers = request.headers_by_name
    must = {"host", *(name for name in headers if name.startswith("x-amz-"))}
    if unsigned := sorted(must - set(credential.signed_headers)):
        raise invalid_signature(f"'{unsigned[0]}' must be a 'SignedHeader' in the AWS Credential.")
    if missing := sorted(set(credential.signed_headers) - set(headers)):
        raise invalid_signature(f"The signed header '{missing[0]}' is not in the request.")
    digest = hashlib.sha256(request.body).hexdigest()
    if headers.get("x-amz-content-sha256", digest) != digest:
        raise invalid_signature(
            "The header 'X-Amz-Content-SHA256' is not the hash of the request's body."
        )
    wanted = sign(request, credential.scope, credential.signed_headers, credential.at, secret)
    if not hmac.compare_digest(wanted, credential.signature):
        raise invalid_signature(
            "The request signature we calculated does not match the signature you provided. Check"
            " your AWS Secret Access Key and signing method. Consult the service documentation for"
            " details."
        )


def verify_time(credential: Credential, now: dt.datetime) -> None:
    """Reject a request that has expired or is dated in the future.

    Raises:
        EksError: It is rejected.
    """
    said, here = credential.at.strftime(ISO), now.strftime(ISO)
    if credential.at > now + SKEW:
        until = (now + SKEW).strftime(ISO)
        raise invalid_signature(
            f"Signature not yet current: {said} is still later than {until} ({here} + 5 min.)"
        )
    if credential.lifetime is not None:
        end = credential.at + min(credential.lifetime, SKEW)
        if end < now:
            until = end.strftime(ISO)
            raise invalid_signature(f"Signature expired: {until} is now earlier than {here}")
    elif credential.at < now - SKEW:
        since = (now - SKEW).strftime(ISO)
        raise invalid_signature(
            f"Signature expired: {said} is now earlier than {since} ({here} - 5 min.)"
        )


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
    for part in (scope.day, scope.region, scope.service, TERMINATOR):
        key = hmac.digest(key, encoded(part), "sha256")
    return hmac.digest(key, encoded(text), "sha256").hex()


def string_to_sign(canonical: str, scope: Scope, at: dt.datetime) -> str:
    """Return the string to sign."""
    digest = hashlib.sha256(encoded(canonical)).hexdigest()
    return "\n".join((ALGORITHM, at.strftime(ISO), scope.text, digest))


def canonical_request(request: Request, signed_headers: Sequence[str]) -> str:
    """Return the canonical request."""
    headers = request.headers_by_name
    names = sorted(set(signed_headers))
    return "\n".join(
        (
            request.method,
            quote(encoded(_normalised(request.path)), safe="/" + _UNRESERVED),
            _canonical_query(request),
            *(f"{name}:{headers.get(name, '')}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def _canonical_query(request: Request) -> str:
    encoded = sorted(
        (quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED))
        for name, value in request.parameters
        if name != _SIGNATURE_PARAMETER.encode()
    )
    return "&".join(f"{name}={value}" for name, value in encoded)


def _normalised(path: str) -> str:
    """Return a path without ``.``, ``..`` and empty segments; a trailing slash stays."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if kept and path.endswith(("/", "/.", "/..")) else ""
    return "/" + "/".join(kept) + end
