"""The API server's token webhook: answers TokenReviews (``authentication.k8s.io/v1``).

It listens on the loopback of the control plane's namespace and is called for tokens that the API
server does not recognise. Unknown tokens are not authenticated.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from monopod.eksapi.errors import EksError
from monopod.eksapi.registration import PATH
from monopod.eksapi.token import bearer
from monopod.identity.access_key import AccessKey

_API_VERSION: Final = "authentication.k8s.io/v1"
_KIND: Final = "TokenReview"
_KEY_EXTRA: Final = "accessKeyId"
"""The key that AWS's authenticator adds, for audit logs."""
_log: Final = structlog.get_logger("authenticator")


class _Spec(msgspec.Struct):
    token: str


class _Review(msgspec.Struct):
    spec: _Spec


class Authenticator:
    """Handles the API server's reviews."""

    def __init__(
        self,
        cluster: str,
        keys: Callable[[], Mapping[str, AccessKey]],
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Describe an authenticator.

        Args:
            cluster: The cluster that tokens must be for.
            keys: Returns the current access keys by their ids.
            now: The clock.
        """
        self._cluster = cluster
        self._keys = keys
        self._now = now

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a review; no token causes an error."""
        if (request.method, request.path) != ("POST", PATH):
            return web.Response(status=404)
        try:
            review = msgspec.json.decode(await request.read(), type=_Review)
        except (msgspec.DecodeError, UnicodeDecodeError, web.HTTPRequestEntityTooLarge):
            return web.Response(status=400)
        answer = {"apiVersion": _API_VERSION, "kind": _KIND, "status": self._status(review)}
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    def _status(self, review: _Review) -> Mapping[str, Any]:
        try:
            key = bearer(review.spec.token, self._cluster, self._keys(), self._now())
        except EksError as error:
            _log.info("token_rejected", why=error.message)
            return {"authenticated": False, "error": error.message}
        _log.info("token_accepted", key=key.id, user=key.user)
        user = {
            "username": key.user,
            "groups": list(key.groups),
            "extra": {_KEY_EXTRA: [key.id]},
        }
        return {"authenticated": True, "user": user}
