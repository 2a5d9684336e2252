"""Execution roles: the registry credentials and certificate authorities that machines get.

Secrets are read one by one when a machine is launched and are not cached, so a change or a removal
takes effect with the next machine. This process may not list Secrets.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog
from cryptography import x509
from lightkube.resources.core_v1 import Secret

from monopod.api import keys
from monopod.api.conditions import set_condition
from monopod.api.resources import Condition, ExecutionRole, ExecutionRoleStatus, RegistryAuthority
from monopod.controllers.microvm import conditions, registry_secrets
from monopod.controllers.microvm.registry_secrets import Contents
from monopod.fargate.profiles import role_of
from monopod.identity.pull_grant import RegistryCredential
from monopod.kube import (
    Change,
    Client,
    Controller,
    ForbiddenError,
    Informer,
    Key,
    NotFoundError,
    meta,
    name_of,
    uid_of,
)

_READY: Final = "Ready"
_LOOK_AGAIN_S: Final = 60.0
"""Interval at which a role's Secrets are read again to update its condition."""
_NO_PULL_PROXY: Final = (
    "is not used, since this cluster has no pull proxy: give the pods imagePullSecrets"
)
_log: Final = structlog.get_logger("roles")


@dataclass(frozen=True, slots=True)
class Grant:
    """The credentials and authorities that a machine gets by its role."""

    role: str = ""
    """Name of the ExecutionRole; empty if there is none."""
    credentials: tuple[RegistryCredential, ...] = ()
    authorities: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """PEM certificates of the authorities that sign for registries, by registry."""
    faults: tuple[str, ...] = ()
    """Why parts of the role cannot be granted, each a sentence without its full stop."""


class ExecutionRoles(Controller):
    """Reads roles' Secrets for machines, and sets each role's Ready condition."""

    def __init__(
        self,
        client: Client,
        roles: Informer[ExecutionRole],
        now: Callable[[], datetime],
        *,
        credentials: bool = True,
    ) -> None:
        """Subscribe to the informer, which enqueues roles by name.

        Args:
            client: Reads the roles' Secrets.
            roles: The roles.
            now: Returns the time, with its zone.
            credentials: Whether a pull proxy keeps registries' credentials from machines. Without
                one, machines get none.
        """
        super().__init__("roles", self.reconcile, workers=1)
        self._client = client
        self._roles = roles
        self._now = now
        self._credentials = credentials
        roles.subscribe(self._changed)

    async def grant(self, arn: str) -> Grant:
        """Return what a machine of this role gets; an empty grant if no ExecutionRole has the ARN.

        Raises:
            KubeError: The API server does not answer.
        """
        role = role_of(arn, self._roles.items())
        return Grant() if role is None else await self._grant(role)

    async def _grant(self, role: ExecutionRole) -> Grant:
        names = [each.name for each in role.spec.imagePullSecrets]
        contents = [await self._contents(name) for name in names]
        faults = [
            f"Secret {keys.SYSTEM_NAMESPACE}/{name} {fault}"
            for name, content in zip(names, contents, strict=True)
            for fault in content.faults
        ]
        credentials = itertools.chain.from_iterable(each.credentials for each in contents)
        believed = [each for each in role.spec.registryAuthorities if _is_authority(each)]
        faults += [
            f"The certificate of registry {each.registry}'s authority cannot be read"
            for each in role.spec.registryAuthorities
            if each not in believed
        ]
        return Grant(
            role=name_of(role),
            credentials=registry_secrets.first_of_each(credentials),
            authorities={each.registry: each.certificate.encode() for each in believed},
            faults=tuple(faults),
        )

    async def _contents(self, name: str) -> Contents:
        if not self._credentials:
            return Contents(faults=(_NO_PULL_PROXY,))
        try:
            secret = await self._client.get(Secret, name, keys.SYSTEM_NAMESPACE)
        except NotFoundError:
            return Contents(faults=("does not exist",))
        except ForbiddenError:
            return Contents(faults=("may not be read by monopod:microvm",))
        return registry_secrets.read(secret)

    async def reconcile(self, key: Key) -> float | None:
        """Write a role's Ready condition; return the seconds after which to requeue it."""
        role = self._roles.get(key)
        if role is None:
            return None
        first = role_of(role.spec.arn, self._roles.items()) or role
        if uid_of(first) != uid_of(role):
            condition = _condition(
                False, "ArnTaken", f"ExecutionRole {meta(first).name} has this ARN and is older"
            )
        else:
            condition = _ready_condition(await self._grant(role))
        condition.observedGeneration = meta(role).generation
        old = role.status or ExecutionRoleStatus()
        wanted = ExecutionRoleStatus(set_condition(old.conditions, condition, self._now()))
        if wanted != role.status:
            await self._write(role, wanted)
        return _LOOK_AGAIN_S if role.spec.imagePullSecrets else None

    async def _write(self, role: ExecutionRole, status: ExecutionRoleStatus) -> None:
        patch = {"metadata": {"uid": uid_of(role)}, "status": status}
        try:
            await self._client.patch(ExecutionRole, name_of(role), patch, subresource="status")
        except NotFoundError:
            return
        _log.info("role_status_written", role=name_of(role), reason=status.conditions[-1].reason)

    def _changed(self, change: Change[ExecutionRole]) -> None:
        for role in self._roles.items():
            if role.spec.arn == change.object.spec.arn:
                self.enqueue(name_of(role))


def _is_authority(authority: RegistryAuthority) -> bool:
    try:
        return bool(x509.load_pem_x509_certificates(authority.certificate.encode()))
    except ValueError:
        return False


def _ready_condition(grant: Grant) -> Condition:
    if grant.faults:
        return _condition(False, "NotUsable", "; ".join(grant.faults))
    if not grant.credentials:
        return _condition(True, "NothingNamed", "Machines pull images anonymously")
    registries = ", ".join(each.pattern for each in grant.credentials)
    return _condition(True, "Usable", f"Machines have credentials for {registries}")


def _condition(holds: bool, reason: str, message: str) -> Condition:
    return conditions.changed(_READY, holds, reason, message)
