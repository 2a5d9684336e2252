"""Certificates of listeners, when their Secrets may not be read."""

import base64
from typing import Any, cast

import pytest
from lightkube.resources.core_v1 import Secret

from monopod.controllers.loadbalancer.certificates import Certificates
from monopod.kube import Client, ForbiddenError
from tests.loadbalancer.test_render import self_signed

pytestmark = pytest.mark.unit


class _Secrets:
    """One Secret, ``shop/tls``."""

    def __init__(self) -> None:
        certificate, key = (base64.b64encode(each).decode() for each in self_signed("a.test"))
        data = {"tls.crt": certificate, "tls.key": key}
        self._secret = Secret(type="kubernetes.io/tls", data=data)
        self.readable = True

    async def get(self, *_: Any) -> Secret:
        if not self.readable:
            raise ForbiddenError("no Ingress names it")
        return self._secret


async def test_a_certificate_is_kept_for_a_last_known_good_configuration() -> None:
    secrets = _Secrets()
    certificates = Certificates(cast("Client", secrets), lambda: 0.0, read_again_s=0)
    await certificates.read(["shop/tls"])
    file = certificates.file("shop/tls")
    assert file
    secrets.readable = False
    await certificates.read([], ["shop/tls"])
    assert certificates.file("shop/tls") == file
    await certificates.read([], ["shop/never-read"])
    assert certificates.file("shop/never-read") == ""


async def test_only_the_first_pass_waits_until_secrets_may_be_read() -> None:
    """HAProxy has its certificates from before; later no Ingress may hold up the others."""
    secrets = _Secrets()
    certificates = Certificates(cast("Client", secrets), lambda: 0.0, read_again_s=0)
    secrets.readable = False
    for _ in range(2):
        with pytest.raises(ForbiddenError):
            await certificates.read(["shop/tls"])
    secrets.readable = True
    await certificates.read(["shop/tls"])
    file = certificates.file("shop/tls")
    secrets.readable = False
    await certificates.read(["shop/tls", "shop/new"])
    assert (certificates.file("shop/tls"), certificates.file("shop/new")) == (file, "")
    secrets.readable = True
    await certificates.read(["shop/tls", "shop/new"])
    assert certificates.file("shop/new") == file
