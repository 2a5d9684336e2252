"""Write ``src/monopod/eksapi/wire.py`` from botocore's model of the EKS API.

    .venv/bin/python tools/generate_eks_wire.py          writes it
    .venv/bin/python tools/generate_eks_wire.py --check  fails if it is not what would be written

Monopod implements a few of the API's operations: their structures are generated completely. Of all
others it has the names and paths, so that the error can name the requested operation.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from botocore.loaders import Loader

ROOT: Final = Path(__file__).resolve().parent.parent
TARGET: Final = ROOT / "src" / "monopod" / "eksapi" / "wire.py"
ANSWERED: Final = (
    "CreateFargateProfile",
    "DeleteFargateProfile",
    "DescribeCluster",
    "DescribeFargateProfile",
    "ListClusters",
    "ListFargateProfiles",
    "ListTagsForResource",
    "TagResource",
    "UntagResource",
)
_KEPT: Final = {
    "Cluster": (
        "name",
        "arn",
        "createdAt",
        "version",
        "endpoint",
        "resourcesVpcConfig",
        "kubernetesNetworkConfig",
        "logging",
        "identity",
        "status",
        "certificateAuthority",
        "platformVersion",
        "tags",
        "health",
        "accessConfig",
    ),
    "KubernetesNetworkConfigResponse": ("serviceIpv4Cidr", "ipFamily"),
}
"""Members of answers, where the endpoint never has anything to say in most of them."""
_SCALARS: Final = {
    "boolean": "bool",
    "integer": "int",
    "long": "int",
    "string": "str",
    "timestamp": "float",
}
_HEAD: Final = '''\
"""The EKS API's structures and operations, written by ``tools/generate_eks_wire.py``: do not edit.

Source: botocore's service model ``eks/{version}``. Field names are the wire's, hence camelCase;
times are seconds since the epoch.
"""

from typing import Final, Literal

from msgspec import Struct

from monopod.eksapi.operation import Operation, Unimplemented

'''

Shape = Mapping[str, Any]
Model = Mapping[str, Any]


def main() -> int:
    """Write the module, or check it; the exit status."""
    wanted = generate()
    if "--check" in sys.argv[1:]:
        return int(TARGET.read_text() != wanted)
    TARGET.write_text(wanted)
    return 0


def generate() -> str:
    """Return the module's text."""
    model = Loader().load_service_model("eks", "service-2")
    return _formatted("".join(_parts(model)))


def _parts(model: Model) -> Iterator[str]:
    yield _HEAD.format(version=model["metadata"]["apiVersion"])
    for name in _ordered(model):
        shape = model["shapes"][name]
        if shape["type"] == "structure":
            yield _structure(name, shape, model)
        elif "enum" in shape:
            yield f"{name} = Literal{list(shape['enum'])}\n"
    yield "OPERATIONS: Final = ("
    yield from (_operation(model["operations"][name], model) for name in ANSWERED)
    yield ")\n\nUNIMPLEMENTED: Final = ("
    for name, operation in sorted(model["operations"].items()):
        if name not in ANSWERED:
            http = operation["http"]
            yield f"Unimplemented({name!r}, {http['method']!r}, {_path(http)!r}),"
    yield ')\n"""Operations of the API that Monopod does not implement."""\n\nSTATUS: Final = {'
    yield from (
        f"{name!r}: {shape['error']['httpStatusCode']},"
        for name, shape in sorted(model["shapes"].items())
        if shape.get("exception")
    )
    yield '}\n"""The HTTP status of each error in the model."""\n'


def _ordered(model: Model) -> list[str]:
    """Return the shapes needed, each after those that it holds."""
    found: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in found:
            return
        shape = model["shapes"][name]
        for member in _members(name, shape).values():
            visit(member["shape"])
        for part in ("member", "key", "value"):
            if part in shape:
                visit(shape[part]["shape"])
        found[name] = None

    for name in ANSWERED:
        visit(model["operations"][name]["input"]["shape"])
        visit(model["operations"][name]["output"]["shape"])
    return list(found)


def _members(name: str, shape: Shape) -> Mapping[str, Shape]:
    members: Mapping[str, Shape] = shape.get("members", {})
    return {field: members[field] for field in _KEPT.get(name, members)}


def _structure(name: str, shape: Shape, model: Model) -> str:
    required = set(shape.get("required", ()))
    lines = [
        f"    {field}: {_type(member['shape'], model)}"
        + ("" if field in required else " | None = None")
        for field, member in _members(name, shape).items()
    ]
    body = "\n".join(lines or ["    pass"])
    return (
        f"class {name}(Struct, frozen=True, kw_only=True, omit_defaults=True):\n"
        f'    """``{name}``."""\n\n{body}\n\n'
    )


def _type(name: str, model: Model) -> str:
    shape = model["shapes"][name]
    match shape["type"]:
        case "structure":
            return name
        case "list":
            return f"list[{_type(shape['member']['shape'], model)}]"
        case "map":
            key, value = (_type(shape[part]["shape"], model) for part in ("key", "value"))
            return f"dict[{key}, {value}]"
        case scalar:
            return name if "enum" in shape else _SCALARS[scalar]


def _operation(operation: Shape, model: Model) -> str:
    request = operation["input"]["shape"]
    members = model["shapes"][request]["members"]
    uri = {
        member["locationName"]: field
        for field, member in members.items()
        if member.get("location") == "uri"
    }
    query = {
        member["locationName"]: (field, model["shapes"][member["shape"]]["type"] == "list")
        for field, member in members.items()
        if member.get("location") == "querystring"
    }
    http = operation["http"]
    return (
        f"Operation({operation['name']!r}, {http['method']!r}, {_path(http)!r}, {request},"
        f" {operation['output']['shape']}, {uri!r}, {query!r}),"
    )


def _path(http: Shape) -> tuple[str, ...]:
    return tuple(re.split("/", http["requestUri"].partition("?")[0].strip("/")))


def _formatted(text: str) -> str:
    ruff = Path(sys.executable).with_name("ruff")
    for words in (("check", "--fix-only", "--quiet", "--select=I,UP"), ("format", "--quiet")):
        done = subprocess.run(
            [ruff, *words, f"--stdin-filename={TARGET}", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        text = done.stdout
    return text


if __name__ == "__main__":
    sys.exit(main())
