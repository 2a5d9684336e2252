"""Parses an Ingress's annotations ``actions.<name>`` into actions on requests. Pure.

Source: the AWS Load Balancer Controller's guide to Ingress annotations; values are JSON with
case-insensitive keys.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from monopod.controllers.loadbalancer.lenient_json import decode, without_underscores
from monopod.controllers.loadbalancer.model import Action, FixedResponse, Forward, Redirect
from monopod.errors import MonopodError

ServicePort = str
"""A service's port, by number or name."""
Group = Callable[[str, ServicePort], str]
"""Ensures that a service's port has a target group, and returns its name.

Raises:
    ActionError: There is no such port.
"""

_LOCATION: Final = re.compile(r"[\x21-\x7e]{0,1024}")
_TYPE: Final = re.compile(r"[a-z]+/[a-z0-9.+-]+")
_BODY_BYTES: Final = 1024
_CODES: Final = {"HTTP_301": 301, "HTTP_302": 302}
_HIGHEST_WEIGHT: Final = 999
_MOST_GROUPS: Final = 5
"""Source: the quotas of Application Load Balancers, "Target groups per action"."""
_FOREIGN: Final = "target groups by ARN or name are not supported: write the name of a Service"
_UNCHANGED: Final = Redirect()
"""Its fields are the defaults; the class's own attributes are not."""


class ActionError(MonopodError):
    """An action is invalid or not supported; the message has the reason."""


class _TargetGroup(msgspec.Struct, rename=without_underscores, forbid_unknown_fields=True):
    service_name: str = ""
    service_port: str | int = ""
    weight: int = 1
    target_group_arn: str | None = None
    target_group_name: str | None = None


class _Stickiness(msgspec.Struct, rename=without_underscores):
    enabled: bool = False


class _ForwardConfig(msgspec.Struct, rename=without_underscores, forbid_unknown_fields=True):
    target_groups: list[_TargetGroup]
    target_group_stickiness_config: _Stickiness | None = None


class _RedirectConfig(msgspec.Struct, rename=without_underscores, forbid_unknown_fields=True):
    status_code: str
    protocol: str = _UNCHANGED.protocol
    host: str = _UNCHANGED.host
    port: str = _UNCHANGED.port
    path: str = _UNCHANGED.path
    query: str = _UNCHANGED.query


class _FixedResponseConfig(msgspec.Struct, rename=without_underscores, forbid_unknown_fields=True):
    status_code: str
    content_type: str = "text/plain"
    message_body: str = ""


class _Action(msgspec.Struct, rename=without_underscores, forbid_unknown_fields=True):
    type: str
    forward_config: _ForwardConfig | None = None
    redirect_config: _RedirectConfig | None = None
    fixed_response_config: _FixedResponseConfig | None = None
    target_group_arn: str | None = None
    target_group_name: str | None = None


_REDIRECT: Final = _RedirectConfig("")


def read_action(text: str, group: Group) -> Action:
    """Parse one action.

    Args:
        text: The annotation's value.
        group: Called for each target group in it.

    Raises:
        ActionError: It is invalid or not supported.
    """
    try:
        said = decode(text, _Action)
    except msgspec.ValidationError as error:
        raise ActionError(f"not an action: {error}") from error
    if said.target_group_arn or said.target_group_name:
        raise ActionError(_FOREIGN)
    match said.type.lower():
        case "forward" if said.forward_config:
            return _forward(said.forward_config, group)
        case "redirect" if said.redirect_config:
            return _redirect(said.redirect_config)
        case "fixed-response" if said.fixed_response_config:
            return _fixed_response(said.fixed_response_config)
        case _:
            raise ActionError(f"type {said.type!r} without its configuration, or unknown")


def _forward(said: _ForwardConfig, group: Group) -> Forward:
    if said.target_group_stickiness_config and said.target_group_stickiness_config.enabled:
        raise ActionError("stickiness between target groups is not supported")
    if not said.target_groups:
        raise ActionError("no target group is named")
    if len(said.target_groups) > _MOST_GROUPS:
        raise ActionError(f"more than {_MOST_GROUPS} target groups are named")
    if any(each.target_group_arn or each.target_group_name for each in said.target_groups):
        raise ActionError(_FOREIGN)
    if not all(each.service_name and each.service_port != "" for each in said.target_groups):
        raise ActionError("a target group lacks its serviceName or servicePort")
    if any(not 0 <= each.weight <= _HIGHEST_WEIGHT for each in said.target_groups):
        raise ActionError(f"weights are from 0 to {_HIGHEST_WEIGHT}")
    if not any(each.weight for each in said.target_groups):
        raise ActionError("all weights are 0")
    return Forward(
        tuple(
            (group(each.service_name, str(each.service_port)), each.weight)
            for each in said.target_groups
        )
    )


def _redirect(said: _RedirectConfig) -> Redirect:
    if said.status_code not in _CODES:
        raise ActionError(f"statusCode {said.status_code!r} is not one of {', '.join(_CODES)}")
    if said.protocol.upper() not in ("HTTP", "HTTPS", "#{PROTOCOL}"):
        raise ActionError(f"protocol {said.protocol!r} is neither HTTP nor HTTPS")
    for name in ("host", "port", "path", "query"):
        if not _LOCATION.fullmatch(getattr(said, name)):
            raise ActionError(f"{name} {getattr(said, name)!r} cannot be in a location")
    if said.port != _REDIRECT.port and not _is_port(said.port):
        raise ActionError(f"port {said.port!r} is not a port number")
    return Redirect(
        _CODES[said.status_code], said.protocol, said.host, said.port, said.path, said.query
    )


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 65536


def _fixed_response(said: _FixedResponseConfig) -> FixedResponse:
    code = said.status_code
    if not re.fullmatch(r"[245]\d\d", code):
        raise ActionError(f"statusCode {code!r} is not a valid status of a response")
    if not _TYPE.fullmatch(said.content_type):
        raise ActionError(f"contentType {said.content_type!r} is not a media type")
    body = said.message_body
    if any(ord(character) < 32 and character not in "\t\r\n" for character in body):
        raise ActionError("messageBody contains control characters")
    if len(body.encode()) > _BODY_BYTES:
        raise ActionError(f"messageBody is longer than {_BODY_BYTES} bytes")
    return FixedResponse(int(code), said.content_type, body)
