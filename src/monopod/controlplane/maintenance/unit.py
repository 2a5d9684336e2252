"""A systemd unit that starts the cluster with the host, and ends pods with grace before it.

It is printed and not installed: the host's service manager is the administrator's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from monopod.controlplane.maintenance.settings import HostSettings
from monopod.settings import Settings

_BEYOND_S: Final = 90.0
"""Time for processes to stop, and for an API server that does not answer."""
_PREFIX: Final = "MONOPOD_"


def unit(
    program: Path,
    settings: Settings,
    own: HostSettings,
    environment: Mapping[str, str],
) -> str:
    """Return the unit.

    Args:
        program: The command ``monopod``.
        settings: The installation.
        own: How long a shutdown takes.
        environment: The variables of which the unit gets those that are settings, and ``HOME``.
    """
    wanted = {
        name: value
        for name, value in sorted(environment.items())
        if name.startswith(_PREFIX) or name == "HOME"
    }
    lines = (
        "[Unit]",
        f"Description=Monopod cluster {settings.cluster}",
        "Wants=network-online.target",
        "After=network-online.target",
        f"RequiresMountsFor={_quoted(str(settings.home.absolute()))}",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in wanted.items()),
        f"ExecStart={_quoted(str(program))} up --no-demo",
        f"ExecStop={_quoted(str(program))} host shutdown",
        "# The first start builds components.",
        "TimeoutStartSec=30min",
        f"TimeoutStopSec={own.shutdown_s + _BEYOND_S:.0f}s",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    )
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a word as systemd reads it back: ``%`` would begin a specifier."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
