"""The translation of the API server's rejections."""

import pytest

from monopod.eksapi.errors import refused_by_cluster

pytestmark = pytest.mark.unit

_TURN = (
    "Cannot create Fargate Profile b because cluster monopod currently has Fargate profile a in"
    " status CREATING"
)


@pytest.mark.parametrize(
    ("said", "message", "code", "status"),
    [
        (
            f'admission webhook "fargate-profiles.monopod.dev" denied the request: {_TURN}',
            _TURN,
            "ResourceInUseException",
            409,
        ),
        (
            'admission webhook "x" denied the request: no',
            "no",
            "InvalidParameterException",
            400,
        ),
        ("spec.tags: Too many", "spec.tags: Too many", "InvalidParameterException", 400),
    ],
)
def test_a_webhooks_message_reaches_the_client(
    said: str, message: str, code: str, status: int
) -> None:
    error = refused_by_cluster(said, cluster="monopod", profile="b")
    assert (error.message, error.code, error.status) == (message, code, status)
