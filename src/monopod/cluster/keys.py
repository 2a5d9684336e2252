"""Access keys of a running cluster: issued and withdrawn for its users.

A key only says who somebody is. What its user may do is up to the cluster's RBAC rules.
"""

import datetime as dt
from collections.abc import Sequence

from monopod.cluster import state
from monopod.cluster.holdings import holdings
from monopod.cluster.layout import Layout
from monopod.identity.access_key import AccessKey
from monopod.identity.vault import Vault
from monopod.settings import Settings


def create(settings: Settings, user: str, groups: Sequence[str] = ()) -> AccessKey:
    """Issue a key for a Kubernetes user; it counts at once.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: What it left cannot be read, or another monopod is at work on it.
        IdentityError: The key could not be kept.
    """
    layout = _layout(settings)
    with state.locked(layout.home):
        vault = Vault(layout.identities)
        made = vault.issue_key(user, groups)
        _fill(vault, layout)
    return made


def issued(settings: Settings) -> list[AccessKey]:
    """Return all that were issued, but for the administrator's first.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: What it left cannot be read.
        IdentityError: One cannot be read.
    """
    return Vault(_layout(settings).identities).issued_keys()


def delete(settings: Settings, key_id: str) -> None:
    """Withdraw a key; requests signed with it are refused at once, tokens within two minutes.

    Raises:
        NoClusterError: There is no cluster in this home.
        ClusterError: What it left cannot be read, or another monopod is at work on it.
        IdentityError: There is no such key.
    """
    layout = _layout(settings)
    with state.locked(layout.home):
        vault = Vault(layout.identities)
        vault.withdraw_key(key_id)
        _fill(vault, layout)


def _fill(vault: Vault, layout: Layout) -> None:
    # Whoever else's certificates it renewed would have to be restarted: that is for `up` to do.
    verifiers = [holding for holding in holdings(layout) if holding.verifies]
    vault.fill(verifiers, dt.datetime.now(dt.UTC))


def _layout(settings: Settings) -> Layout:
    return Layout.of(settings, state.require(settings.home).transit)
