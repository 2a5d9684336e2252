"""The reference documents every annotation and attribute of AWS's controller."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from monopod.controllers.loadbalancer import attributes, ingress_annotations, service_annotations
from monopod.controllers.loadbalancer.meanings import Meaning, NoMeaning, Refused

pytestmark = pytest.mark.unit

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "load-balancers.md"


def row(name: str, meaning: Meaning) -> str:
    """A line of the reference's tables."""
    shown = f"{name}*" if name[-1] in ".-" else name
    match meaning:
        case Refused(why, unless):
            but = f", but for {' and '.join(f'`{each}`' for each in sorted(unless))}"
            return f"| `{shown}` | refused{but if unless else ''} | {why} |"
        case NoMeaning(why):
            return f"| `{shown}` | no meaning | {why} |"
        case served:
            return f"| `{shown}` | served | {served.note} |"


@pytest.mark.parametrize(
    "meanings",
    [
        service_annotations.SERVICE,
        service_annotations.WITHOUT_PREFIX,
        ingress_annotations.INGRESS,
        attributes.APPLICATION,
        attributes.NETWORK,
        attributes.LISTENER,
        attributes.APPLICATION_TARGETS,
        attributes.NETWORK_TARGETS,
    ],
)
def test_the_reference_documents_each_meaning(meanings: Mapping[str, Meaning]) -> None:
    lines = _PAGE.read_text().splitlines()
    missing = [made for name, of in meanings.items() if (made := row(name, of)) not in lines]
    assert not missing, "\n".join(missing)
