"""Deploys the desired load balancers of all objects to HAProxy, invalid objects excepted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from lightkube.resources.core_v1 import Service
from lightkube.resources.networking_v1 import Ingress, IngressClass

from monopod.controllers.loadbalancer import servers, services, unclaimed
from monopod.controllers.loadbalancer.addresses import Claim, assign
from monopod.controllers.loadbalancer.bounds import within_bound
from monopod.controllers.loadbalancer.certificates import Certificates
from monopod.controllers.loadbalancer.desired import (
    DesiredLoadBalancer,
    InvalidObject,
    Request,
    shown_addresses,
)
from monopod.controllers.loadbalancer.errors import RejectedError
from monopod.controllers.loadbalancer.haproxy import HAProxy
from monopod.controllers.loadbalancer.ingress import secret_keys
from monopod.controllers.loadbalancer.ingress_rules import RuleContext
from monopod.controllers.loadbalancer.ingresses import application_balancers
from monopod.controllers.loadbalancer.last_known_good import LastKnownGood
from monopod.controllers.loadbalancer.model import Balancer, Scheme
from monopod.controllers.loadbalancer.parts import Slices
from monopod.kube import meta, uid_of
from monopod.node.net.cluster_network import ClusterNetwork

_log: Final = structlog.get_logger("loadbalancer")


@dataclass(frozen=True, slots=True)
class Objects:
    """A cluster's objects at one reconcile."""

    services: Mapping[str, Service]
    """All by key, including those being deleted."""
    ingresses: Sequence[Ingress]
    """Those of our classes that are not being deleted."""
    slices: Slices
    other_ingresses: Sequence[Ingress] = ()
    """Those of other classes."""
    classes: Mapping[str, IngressClass] = field(default_factory=dict[str, IngressClass])
    """All, by name."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """The result of one reconcile."""

    asked: Request
    placed: Sequence[tuple[DesiredLoadBalancer, Balancer]]
    refusals: Mapping[str, InvalidObject]
    """By owner's uid."""
    standing: servers.ServerStates


class Deployer:
    """Deploys load balancers to HAProxy, with last-known-good parts for invalid objects."""

    def __init__(
        self,
        haproxy: HAProxy,
        accepted: LastKnownGood,
        certificates: Certificates,
        plan: ClusterNetwork,
        per_namespace: int,
    ) -> None:
        """Set the dependencies.

        Args:
            haproxy: Runs the load balancers.
            accepted: The last-known-good part per object.
            certificates: Reads the Ingresses' certificates.
            plan: The cluster's network plan.
            per_namespace: Load balancers of one scheme that a namespace has at most.
        """
        self._per_namespace = per_namespace
        self._haproxy = haproxy
        self._accepted = accepted
        self._certificates = certificates
        self._plan = plan

    async def deploy(self, objects: Objects) -> Deployed:
        """Apply current parts of valid objects and last-known-good parts of invalid ones.

        What HAProxy runs of an object becomes its last-known-good part, of an invalid object with
        renewed certificates.

        Raises:
            BalancingError: HAProxy did not take the configuration.
            KubeError: A certificate's Secret cannot be read.
        """
        await self._certificates.read(
            {key for each in objects.ingresses for key in secret_keys(each)},
            self._kept_secrets(objects.ingresses),
        )
        deployed = await self._apply(objects)
        claimed = [
            each
            for each in objects.services.values()
            if meta(each).deletionTimestamp is None and services.is_network_balancer(each)
        ]
        self._accepted.keep(
            {uid: part for wanted, _ in deployed.placed for uid, part in wanted.parts.items()},
            {uid_of(each) for each in (*claimed, *objects.ingresses)},
        )
        return deployed

    def _kept_secrets(self, ingresses: Sequence[Ingress]) -> set[str]:
        """Return the keys of all Secrets in last-known-good configurations."""
        found: set[str] = set()
        for ingress in ingresses:
            if (kept := self._accepted.http(uid_of(ingress))) is not None:
                found.update(kept.certificates)
        return found

    async def _apply(self, objects: Objects) -> Deployed:
        """Apply a configuration that HAProxy accepts.

        Some faults show only when no address is free, or when HAProxy rejects the configuration.
        Then the object falls back to its last-known-good part and the pass is repeated; each
        repetition marks at least one more object, so it terminates.
        """
        rejected: dict[str, InvalidObject] = {}
        hopeless: set[str] = set()
        while True:
            asked = self._ask(objects, rejected)
            within = [
                each
                for each in asked.wanted
                if hopeless.isdisjoint(uid_of(owner) for owner in each.owners)
            ]
            placed, without = self._place(within)
            if fresh := {uid: of for uid, of in _by_owner(without).items() if uid not in rejected}:
                rejected |= fresh
                continue
            try:
                standing = await self._haproxy.apply(
                    [made for _, made in placed], self._certificates.files()
                )
            except RejectedError as error:
                # A fault that validation missed must not block the other load balancers.
                _log.error("haproxy_config_rejected", why=str(error))
                why = ("HAProxy rejects the resulting configuration",)
                worse = [each for each in placed if not await self._haproxy.accepts(each[1])]
                bad = _by_owner(InvalidObject(owner, why) for of, _ in worse for owner in of.owners)
                if not bad:
                    raise
                hopeless |= bad.keys() & rejected.keys()
                rejected |= bad
                continue
            refusals = _by_owner(asked.refusals) | _by_owner(without) | rejected
            return Deployed(asked, placed, refusals, standing)

    def _ask(self, objects: Objects, rejected: Mapping[str, InvalidObject]) -> Request:
        asked = Request()
        for key, service in objects.services.items():
            if meta(service).deletionTimestamp is not None:
                continue
            if services.is_network_balancer(service):
                self._ask_for(service, objects.slices, rejected, asked)
            elif hint := (
                services.node_port_hint(service, objects.slices(key))
                or unclaimed.service_hint(service)
            ):
                asked.hints.append(hint)
        for ingress in objects.other_ingresses:
            if hint := unclaimed.ingress_hint(ingress, objects.classes):
                asked.hints.append(hint)
        around = RuleContext(
            objects.services.get, objects.slices, self._certificates.file, objects.classes
        )
        wanted, refusals = application_balancers(
            objects.ingresses, around, self._accepted.http, rejected
        )
        asked.wanted += wanted
        asked.refusals += refusals
        return asked

    def _ask_for(
        self,
        service: Service,
        slices: Slices,
        rejected: Mapping[str, InvalidObject],
        asked: Request,
    ) -> None:
        uid = uid_of(service)
        part = rejected.get(uid) or services.network_part(service)
        if isinstance(part, InvalidObject):
            asked.refusals.append(part)
            part = self._accepted.network(uid)
        if part is not None:
            asked.wanted.append(services.network_balancer(service, part, slices))

    def _place(
        self, wanted: Sequence[DesiredLoadBalancer]
    ) -> tuple[list[tuple[DesiredLoadBalancer, Balancer]], list[InvalidObject]]:
        """Assign each an address; return refusals for those that get none."""
        pools = {
            Scheme.INTERNAL: self._plan.internal_balancers,
            Scheme.INTERNET_FACING: self._plan.public_balancers,
        }
        claims: dict[str, Claim] = {}
        within, without = within_bound(wanted, self._per_namespace, pools.__getitem__)
        for each in within:
            pool = pools[each.scheme]
            had = [address for owner in each.owners for address in shown_addresses(owner, pool)]
            claims[each.name] = Claim(pool, had[0] if had else None)
        given = assign(claims)
        placed: list[tuple[DesiredLoadBalancer, Balancer]] = []
        for each in within:
            address = given[each.name]
            if address is None:
                why = f"no address of {pools[each.scheme]} is free for a load balancer"
                without += [InvalidObject(owner, (why,)) for owner in each.owners]
            else:
                made = Balancer(each.name, address, each.listeners, each.groups)
                placed.append((each, made))
        return placed, without


def _by_owner(refusals: Iterable[InvalidObject]) -> dict[str, InvalidObject]:
    return {uid_of(each.owner): each for each in refusals}
