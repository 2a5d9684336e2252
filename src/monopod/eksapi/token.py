"""Verifies tokens of ``aws eks get-token`` (no I/O).

Such a token is a presigned ``GetCallerIdentity`` request to AWS's STS that also names the cluster.
On EKS the authenticator sends it to STS and trusts the answer. Here it was signed with one of our
keys, so the signature is verified locally, without a request to AWS.

Source of the rules: aws-iam-authenticator's specification of its tokens.
"""

import base64
import binascii
import datetime as dt
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from monopod.eksapi import sigv4
from monopod.eksapi.credential import read_credential
from monopod.eksapi.errors import EksError
from monopod.eksapi.signed_request import Request
from monopod.identity.access_key import AccessKey

LIFETIME: Final = dt.timedelta(minutes=15)
"""Counted from its signature, regardless of the lifetime in its URL."""
_PREFIX: Final = "k8s-aws-v1."
_LONGEST: Final = 4096
_CLUSTER_HEADER: Final = "x-k8s-aws-id"
_SERVICE: Final = "sts"
_ACTION: Final = "GetCallerIdentity"
_PARAMETERS: Final = frozenset(
    {
        "Action",
        "Version",
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
    }
)


def bearer(token: str, cluster: str, keys: Mapping[str, AccessKey], now: dt.datetime) -> AccessKey:
    """Return the key that a token was signed with.

    Args:
        token: As received.
        cluster: The cluster that it must be for.
        keys: All access keys by their ids.
        now: The current time.

    Raises:
        EksError: The token is invalid.
    """
    request = _request(token, cluster)
    credential = read_credential(request)
    key = keys.get(credential.key_id)
    if key is None:
        raise _no_token("its access key is not known")
    if _CLUSTER_HEADER not in credential.signed_headers:
        raise _no_token("it names no cluster")
    sigv4.verify(request, credential, key.secret, region=None, service=_SERVICE)
    if not now - LIFETIME <= credential.at <= now + sigv4.SKEW:
        signed = f"{credential.at:%Y-%m-%d %H:%M:%S} UTC"
        raise _no_token(f"it was signed at {signed}, valid for {LIFETIME}")
    return key


def _request(token: str, cluster: str) -> Request:
    if not token.startswith(_PREFIX) or len(token) > _LONGEST:
        raise _no_token("it is another kind of token")
    text = token.removeprefix(_PREFIX)
    try:
        # Clients strip the padding.
        padded = text + "=" * (-len(text) % 4)
        url = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=20)
    except (binascii.Error, ValueError) as error:
        raise _no_token("it contains no valid URL") from error
    names = [name for name, _ in pairs]
    if (parts.scheme, parts.path, parts.fragment) != ("https", "/", ""):
        raise _no_token("its URL is not one of STS")
    if len(set(names)) < len(names) or not _PARAMETERS.issuperset(names):
        raise _no_token("its URL has repeated or unexpected parameters")
    if dict(pairs).get("Action") != _ACTION:
        raise _no_token(f"its URL does not ask for {_ACTION}")
    # The cluster's name is not in the URL: the signature must match with our name as the header.
    headers = (("host", parts.netloc), (_CLUSTER_HEADER, cluster))
    return Request("GET", "/", parts.query, headers)


def _no_token(why: str) -> EksError:
    return EksError("AccessDeniedException", f"The token is rejected: {why}.", 403)
