"""When a rotation may continue, and what the status says of expiry."""

import datetime as dt

import pytest

from monopod.controlplane.certificates import expiry
from monopod.controlplane.rotation import (
    Machine,
    RotationError,
    next_of_authorities,
    next_of_token_key,
)
from monopod.identity.authority import Validity
from monopod.identity.rotation import Generations, Phase, Rotations
from monopod.identity.store import Dated

pytestmark = pytest.mark.unit

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def test_authorities_take_three_steps() -> None:
    phase, seen = Generations(), list[Phase]()
    for day in range(3):
        now = NOW + day * 24 * HOUR
        phase = next_of_authorities(now, phase, [Machine("mvm-new", now)], force=False)
        seen.append(phase.phase)
    assert seen == [Phase.TRUSTED, Phase.SIGNING, Phase.SETTLED]
    assert phase.trusted == (2,)


def test_the_next_authorities_sign_only_when_every_machine_trusts_them() -> None:
    trusted = Generations().trusting(NOW)
    old, new = Machine("mvm-old", NOW - HOUR), Machine("mvm-new", NOW + HOUR)
    with pytest.raises(RotationError, match="mvm-old") as refused:
        next_of_authorities(NOW + 2 * HOUR, trusted, [old, new], force=False)
    assert "mvm-new" not in str(refused.value)
    assert next_of_authorities(NOW, trusted, [old], force=True).phase is Phase.SIGNING
    assert next_of_authorities(NOW + HOUR, trusted, [new], force=False).phase is Phase.SIGNING


def test_the_previous_is_trusted_until_what_it_signed_has_expired() -> None:
    signing = Generations().trusting(NOW).signing(NOW)
    with pytest.raises(RotationError, match="2030-01-02 00:00"):
        next_of_authorities(NOW + 23 * HOUR, signing, [], force=False)
    with pytest.raises(RotationError, match="2030-01-02 00:00"):
        next_of_token_key(NOW + 23 * HOUR, signing, force=False)
    for now, force in ((NOW + 24 * HOUR, False), (NOW, True)):
        assert next_of_authorities(now, signing, [], force=force).phase is Phase.SETTLED
        assert next_of_token_key(now, signing, force=force).phase is Phase.SETTLED


def test_the_key_of_tokens_signs_at_once() -> None:
    phase = next_of_token_key(NOW, Generations(), force=False)
    assert (phase.phase, phase.in_order) == (Phase.SIGNING, (2, 1))


def test_the_status_names_what_expires_first() -> None:
    def dated(identity: str, file: str, days: int) -> Dated:
        return Dated(identity, file, Validity(NOW, NOW + days * 24 * HOUR, NOW + days * 16 * HOUR))

    certificates = [
        dated("webhooks", "serving.crt", 300),
        dated("etcd", "serving.crt", 30),
        dated("authority", "cluster.crt", 3000),
    ]
    lines = expiry.summary(certificates, Rotations(Generations().trusting(NOW)), NOW)
    first, memory, authority = lines
    assert first.what == "2 of processes, etcd/serving.crt first"
    assert first.expires == NOW + 30 * 24 * HOUR
    assert memory.expires == NOW + dt.timedelta(days=1096)
    assert authority.what == "authority cluster"
    assert Phase.TRUSTED.value in authority.replaced_by
