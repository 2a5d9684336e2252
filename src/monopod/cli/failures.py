"""Renders errors for users: one line for each problem, never a traceback.

The traceback of an unexpected error goes to a file in the logs.
"""

import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager

from pydantic import ValidationError
from rich.console import Console

from monopod.errors import MonopodError
from monopod.settings import Settings


@contextmanager
def explained() -> Generator[None]:
    """Turn errors into a line on standard error and exit status 1."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        yield
    except KeyboardInterrupt:
        console.print("interrupted; run the same command again to continue")
        sys.exit(130)
    except ValidationError as error:
        for each in error.errors():
            name = "_".join(("MONOPOD", *(str(part).upper() for part in each["loc"])))
            console.print("error: ", style="red", end="")
            console.print(f"{name}: {each['msg']}", markup=False)
        sys.exit(1)
    except Exception as error:
        console.print("error: ", style="red", end="")
        console.print(_text(error), markup=False)
        sys.exit(1)


def _text(error: Exception) -> str:
    if isinstance(error, MonopodError):
        return str(error)
    text = f"unexpected: {type(error).__name__}: {error}"
    try:
        path = Settings().last_failure
        path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)))
        path.chmod(0o600)
    except OSError:
        return text
    return f"{text} (details in {path})"
