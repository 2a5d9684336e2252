"""The HTTP server: authenticates, routes, and answers every request in AWS's form."""

import asyncio
import datetime as dt
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import structlog
from aiohttp import web
from prometheus_client import Counter, Histogram

from monopod.eksapi import sigv4, wire
from monopod.eksapi.credential import read_credential
from monopod.eksapi.errors import EksError, malformed, server_error, unavailable
from monopod.eksapi.operation import Router, read_request
from monopod.eksapi.operations import Operations
from monopod.eksapi.signed_request import Request
from monopod.identity.access_key import AccessKey
from monopod.kube import KubeError

SERVICE: Final = "eks"
"""The service that requests must be signed for."""
_JSON: Final = "application/json"
_BODY_WITHIN_S: Final = 10.0
_NO_OPERATION: Final = "-"
_REQUESTS: Final = Counter(
    "monopod_eks_requests_total", "Requests, by operation and result.", ["operation", "result"]
)
_SECONDS: Final = Histogram(
    "monopod_eks_request_seconds",
    "Time taken by requests.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
_log: Final = structlog.get_logger("requests")


class Server:
    """Handles HTTP requests."""

    def __init__(
        self,
        operations: Operations,
        keys: Callable[[], Mapping[str, AccessKey]],
        region: str,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Describe a server.

        Args:
            operations: Executes the operations.
            keys: Returns the current access keys by their ids.
            region: The region that requests must be signed for.
            now: The clock.
        """
        self._operations = operations
        self._keys = keys
        self._region = region
        self._now = now
        self._router = Router(wire.OPERATIONS, wire.UNIMPLEMENTED)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; every request gets a response."""
        began = time.perf_counter()
        asked = _Asked()
        try:
            body, status, headers = await self._answer(request, asked), 200, {}
        except EksError as error:
            body, status, headers = _refusal(error)
        result = headers.get("x-amzn-ErrorType", "OK")
        took = time.perf_counter() - began
        _REQUESTS.labels(asked.operation, result).inc()
        _SECONDS.observe(took)
        request_id = str(uuid.uuid4())
        _log.info(
            "request_handled",
            operation=asked.operation,
            result=result,
            key=asked.key,
            id=request_id,
            ms=round(took * 1000, 1),
        )
        return web.Response(
            body=body,
            status=status,
            content_type=_JSON,
            headers={**headers, "x-amzn-RequestId": request_id},
        )

    async def _answer(self, request: web.BaseRequest, asked: "_Asked") -> bytes:
        signed = await _signed(request)
        caller = self._authenticate(signed)
        asked.key = caller.id
        operation, parameters = self._router.find(signed.method, signed.path)
        asked.operation = operation.name
        question = read_request(operation, parameters, signed.query, signed.body)
        try:
            return msgspec.json.encode(await self._operations.answer(caller, question))
        except EksError:
            raise
        except KubeError as error:
            _log.warning("api_server_request_failed", operation=operation.name, why=str(error))
            raise unavailable(f"The API server request failed: {error.message}") from error
        except Exception as error:
            _log.exception("request_failed", operation=operation.name)
            raise server_error("The request failed; see `monopod logs eksapi`.") from error

    def _authenticate(self, request: Request) -> AccessKey:
        credential = read_credential(request)
        key = self._keys().get(credential.key_id)
        # Our keys are long-lived: a session token is left over from another account.
        if key is None or credential.token:
            raise EksError(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
                403,
            )
        sigv4.verify(request, credential, key.secret, region=self._region, service=SERVICE)
        sigv4.verify_time(credential, self._now())
        return key


class _Asked:
    """The facts about a request so far, for its log event."""

    def __init__(self) -> None:
        self.operation = _NO_OPERATION
        self.key = ""


async def _signed(request: web.BaseRequest) -> Request:
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            body = await request.read()
    except TimeoutError as error:
        raise malformed("The body of the request did not arrive in time.") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise malformed("The body of the request is too large.") from error
    except (web.RequestPayloadError, ValueError) as error:
        raise malformed(f"The body of the request cannot be read: {error}") from error
    path, _, query = request.raw_path.partition("?")
    headers = [(name, value) for name, value in request.headers.items()]
    return Request(request.method, path, query, headers, body)


def _refusal(error: EksError) -> tuple[bytes, int, dict[str, str]]:
    members = {
        "message": error.message,
        "clusterName": error.cluster,
        "fargateProfileName": error.profile,
        "validZones": list(error.zones) or None,
    }
    body = msgspec.json.encode({name: said for name, said in members.items() if said is not None})
    return body, error.status, {"x-amzn-ErrorType": error.code}
