"""Classifies a machine's exit by its console output."""

import re
from pathlib import Path
from typing import Final

from monopod.node.vmm.driver import MachineExit

VMM_KILLED: Final = "VmmKilled"
_TAIL_BYTES: Final = 16384
_POWERED_OFF: Final = ("reboot: Power down", "reboot: System halted", "reboot: Restarting system")
_LINE_CHARS: Final = 160
_ESCAPE: Final = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-_])")
_TIMESTAMP: Final = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ +")


def tail(directory: Path) -> str:
    """Return the end of a machine's console log; empty if it printed nothing.

    Just after a rotation that includes the end of the newest archived file.
    """
    archived = sorted(directory.glob("@*"))[-1:]
    text = b""
    for path in (*archived, directory / "current"):
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
                text += file.read()
        except FileNotFoundError:
            continue
    return text[-_TAIL_BYTES:].decode(errors="replace")


def classify_exit(name: str, printed: str) -> MachineExit:
    """Distinguish a guest that powered off, one that panicked and a VMM that was killed.

    Args:
        name: The machine's name.
        printed: The end of its console log.
    """
    lines = _lines(printed)
    panic = next((line for line in reversed(lines) if "Kernel panic" in line), None)
    if panic is not None:
        return MachineExit(name, "GuestPanicked", panic)
    if any(line.endswith(_POWERED_OFF) for line in lines[-5:]):
        return MachineExit(name, "GuestPoweredOff", "the guest shut itself down")
    last = lines[-1] if lines else "nothing was printed"
    message = f"the VMM was killed or crashed; its last console line: {last}"
    return MachineExit(name, VMM_KILLED, message)


def last_lines(text: str, count: int = 5) -> str:
    """Return the last lines of a text, joined to one."""
    return " | ".join(_lines(text)[-count:])


def _lines(text: str) -> list[str]:
    """Return the non-empty lines without timestamps and terminal escape sequences."""
    lines = (_TIMESTAMP.sub("", line) for line in text.splitlines())
    plain = ("".join(filter(str.isprintable, _ESCAPE.sub("", line))) for line in lines)
    return [line.strip()[:_LINE_CHARS] for line in plain if line.strip()]
