"""The command ``monopod``.

One module for each command, imported only when it is used: otherwise most of a short command's time
would go into imports. Each has a function ``register`` that adds the command.
"""

import logging
import sys
from importlib import import_module
from typing import Final

import structlog
import typer

from monopod.cli.failures import explained

COMMANDS: Final = (
    "up",
    "down",
    "status",
    "node",
    "host",
    "patch",
    "kubeconfig",
    "kubectl",
    "env",
    "access-key",
    "rotate",
    "logs",
    "image",
    "install",
    "uninstall",
    "addon",
    "explain",
    "bench",
)
"""Modules of this package, by their commands, in the order of the help."""


def main() -> None:
    """Run the command line; the exit status is 1 after any error."""
    app = typer.Typer(
        name="monopod",
        help="An open, self-hosted AWS Fargate for Kubernetes: one pod, one microVM, one node.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    # Packages log for s6; users get progress and error messages instead.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    # With only one command, Typer would omit its name.
    app.callback()(lambda: None)
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    for name in (asked,) if asked in COMMANDS else COMMANDS:
        import_module(f"{__name__}.{name.replace('-', '_')}").register(app)
    with explained():
        app()
