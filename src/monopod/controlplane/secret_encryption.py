"""Writes every Secret again after the key that encrypts them has changed."""

from pathlib import Path

import msgspec
from lightkube.resources.core_v1 import Secret

from monopod.controlplane import state
from monopod.identity.store import IdentityStore
from monopod.kube import Client, ConflictError, NotFoundError, meta


async def renew(client: Client, home: Path, store: IdentityStore) -> int:
    """Encrypt all Secrets under the newest key, and drop the older keys. Idempotent.

    The API server must already encrypt under the newest key. A kill at any instant loses no Secret:
    the older keys go only when the state file says that no Secret needs them.

    Args:
        client: The administrator's.
        home: The cluster's home.
        store: Holds the keys; after a renewal, its identities have to be filled again.

    Returns:
        The number of Secrets written.

    Raises:
        KubeError: A Secret could not be read or written.
        ClusterError: The state cannot be read.
        IdentityError: The keys cannot be read or written.
    """
    newest, *older = store.encryption_keys()
    known = state.require(home)
    written = 0
    if known.encryption_key != newest.name:
        for secret in (await client.list(Secret)).items:
            meta(secret).managedFields = None
            try:
                # The API server writes even an unchanged object if it is stored under another key.
                await client.replace(secret)
            except (ConflictError, NotFoundError):
                # Written or deleted meanwhile.
                continue
            written += 1
        state.save(home, msgspec.structs.replace(known, encryption_key=newest.name))
    if older:
        store.drop_old_encryption_keys()
    return written
