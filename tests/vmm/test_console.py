from pathlib import Path

import pytest

from monopod.node.vmm.console import classify_exit, last_lines, tail

pytestmark = pytest.mark.unit

_STAMP = "2026-11-23 18:53:56.672866476  "


@pytest.mark.parametrize(
    ("lines", "reason", "message"),
    [
        (["sysrq: Power Off", "reboot: Power down"], "GuestPoweredOff", "the guest shut itself"),
        (["reboot: Power down", ""], "GuestPoweredOff", "the guest shut itself down"),
        (
            ["Kernel panic - not syncing: Attempted to kill init!", "Call Trace:", " [<6>] x"],
            "GuestPanicked",
            "Kernel panic - not syncing: Attempted to kill init!",
        ),
        (["bwrap: Can't find source path"], "VmmKilled", "bwrap: Can't find source path"),
        ([], "VmmKilled", "nothing was printed"),
    ],
)
def test_the_console_classifies_the_exit(lines: list[str], reason: str, message: str) -> None:
    ended = classify_exit("one", "\n".join(_STAMP + line for line in lines))
    assert (ended.name, ended.reason) == ("one", reason)
    assert message in ended.message
    assert _STAMP.strip() not in ended.message


def test_kernel_messages_printed_by_a_pod_earlier_are_ignored() -> None:
    lines = ["reboot: Power down", *["something else"] * 10]
    assert classify_exit("one", "\n".join(lines)).reason == "VmmKilled"


def test_the_tail_goes_on_over_a_rotation(tmp_path: Path) -> None:
    (tmp_path / "@400000006741d0a80a1b2c3d.s").write_text("old\n")
    (tmp_path / "@400000006741d0b80a1b2c3d.s").write_text("x" * 50_000 + "Kernel panic\n")
    (tmp_path / "current").write_text("last\n")
    text = tail(tmp_path)
    assert text.endswith("Kernel panic\nlast\n")
    assert "old" not in text


def test_a_machine_that_never_printed_has_an_empty_tail(tmp_path: Path) -> None:
    assert tail(tmp_path / "missing") == ""


def test_the_last_lines_cannot_steer_a_terminal() -> None:
    printed = [
        "gone",
        "\x1b[2J\x1b[31mred\x1b[0m",
        "\x1b]0;title\x07kept\x00\x08",
        "",
        "x" * 500,
        "é ok\r",
    ]
    text = "\n".join(_STAMP + line for line in printed)
    assert last_lines(text, 4) == f"red | kept | {'x' * 160} | é ok"
    assert last_lines("") == ""
    panic = "Kernel panic - not syncing: \x1b[31mred"
    assert "\x1b" not in classify_exit("one", panic).message
