"""The values of the environment variables ``MONOPOD_*``."""

import pytest
from pydantic import ValidationError

from monopod.settings import Settings

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("given", ["debug", "DEBUG", "Warning", "error"])
def test_a_log_level_may_be_written_in_any_case(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("MONOPOD_LOG_LEVEL", given)
    assert Settings().log_level == given.lower()


def test_the_default_log_level_is_info(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MONOPOD_LOG_LEVEL", raising=False)
    assert Settings().log_level == "info"


@pytest.mark.parametrize("given", ["", "chatty", "10"])
def test_an_unknown_log_level_is_an_error_that_names_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("MONOPOD_LOG_LEVEL", given)
    with pytest.raises(ValidationError) as caught:
        Settings()
    (error,) = caught.value.errors()
    assert error["loc"] == ("log_level",)
    assert error["msg"] == "Input should be 'debug', 'info', 'warning' or 'error'"
