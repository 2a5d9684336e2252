"""Issues and withdraws access keys for the users of a running cluster.

A key only authenticates. The cluster's RBAC rules authorize its user.
"""

import datetime as dt
from collections.abc import Sequence

from monopod.controlplane import state
from monopod.controlplane.identities import identities
from monopod.controlplane.layout import Layout
from monopod.identity.access_key import AccessKey
from monopod.identity.store import IdentityStore
from monopod.settings import Settings


def create(settings: Settings, user: str, groups: Sequence[str] = ()) -> AccessKey:
    """Issue a key for a Kubernetes user; it is valid at once.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: Its state cannot be read, or another monopod command holds its lock.
        IdentityError: The key could not be written.
    """
    layout = _layout(settings)
    with state.locked(layout.home):
        store = IdentityStore(layout.identities)
        made = store.issue_key(user, groups)
        _fill(store, layout)
    return made


def issued(settings: Settings) -> list[AccessKey]:
    """Return all issued keys except the administrator's first.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: Its state cannot be read.
        IdentityError: A key cannot be read.
    """
    return IdentityStore(_layout(settings).identities).issued_keys()


def delete(settings: Settings, key_id: str) -> None:
    """Withdraw a key; requests signed with it are rejected at once, tokens within two minutes.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: Its state cannot be read, or another monopod command holds its lock.
        IdentityError: There is no such key.
    """
    layout = _layout(settings)
    with state.locked(layout.home):
        store = IdentityStore(layout.identities)
        store.withdraw_key(key_id)
        _fill(store, layout)


def _fill(store: IdentityStore, layout: Layout) -> None:
    # Only verifiers: other processes would need a restart after a renewal, which `up` does.
    verifiers = [identity for identity in identities(layout) if identity.verifies]
    store.fill(verifiers, dt.datetime.now(dt.UTC))


def _layout(settings: Settings) -> Layout:
    return Layout.of(settings, state.require(settings.home).transit)
