"""What the tests of the resource definitions share."""

from typing import Any

import yaml

from tests.apiserver import ApiServer


def manifest(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "monopod.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def refusal(server: ApiServer, *words: str, of: dict[str, Any] | None = None) -> str:
    """What the server says against this; empty if it accepts."""
    stdin = None if of is None else yaml.safe_dump(of)
    done = server.kubectl(*words, *(("-f", "-") if of is not None else ()), stdin=stdin)
    return done.stderr if done.returncode else ""
