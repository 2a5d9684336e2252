"""Output of ``monopod image``."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from monopod.build.images.stored import StoredImage
from monopod.build.images.use import use_of
from monopod.cli import image
from monopod.controlplane.images import Pruned

pytestmark = pytest.mark.unit

_REGISTRY = "100.127.3.6:5000"
_DIGEST = "sha256:" + "a" * 64
_PUSHED = datetime(2026, 11, 29, 17, 30, tzinfo=UTC)


def test_each_tag_is_a_row_with_the_pods_that_use_it() -> None:
    made = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    stored = [
        StoredImage("app", _DIGEST, ("1", "2"), 3 << 20, _PUSHED, made, frozenset()),
        StoredImage("old", _DIGEST[:-1] + "b", (), 10, _PUSHED, None, frozenset()),
    ]
    uses = [use_of("default/web", _REGISTRY, [f"{_REGISTRY}/app:2"])]
    console = Console(file=io.StringIO(), width=240)
    console.print(image.table(stored, uses))
    assert isinstance(console.file, io.StringIO)
    header, *rows = (line.split() for line in console.file.getvalue().splitlines())
    assert header == ["REPOSITORY", "TAG", "DIGEST", "SIZE", "CREATED", "PUSHED", "PODS"]
    when = ["2026-01-02", "03:04", "2026-11-29", "17:30"]
    assert rows == [
        ["app", "1", _DIGEST, "3.0", "MiB", *when],
        ["app", "2", _DIGEST, "3.0", "MiB", *when, "default/web"],
        ["old", "<none>", _DIGEST[:-1] + "b", "10", "B", "2026-11-29", "17:30"],
    ]


def test_a_removal_lists_images_and_freed_space(capsys: pytest.CaptureFixture[str]) -> None:
    image.show(Pruned(("app:1", f"app@{_DIGEST}"), 3 << 20))
    assert capsys.readouterr().out == f"removed app:1\nremoved app@{_DIGEST}\n3.0 MiB freed\n"
