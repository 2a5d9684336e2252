"""Consistency of the repository: references between files are valid."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from monopod.build.components import (
    COMPONENTS,
    FORTIO,
    HELM,
    KONNECTIVITY,
    MONITORS,
    SCANNERS,
    VERTICAL_POD_AUTOSCALER,
)

pytestmark = pytest.mark.unit

_ROOT = Path(__file__).resolve().parent.parent
_ROWS = {f"S{number}" for number in range(1, 23)}
_VAGUE = re.compile(
    r"\b(nobody|whoever|whatever|told|tells|beside|anew|of its own|stands for|is held against"
    r"|what is in the way)\b|(?:^|[\"(;|])\s*(nothing:)",
    re.IGNORECASE,
)
"""Words that hide who does what, and "nothing: ..." where "None means ..." is meant."""
_UNIX_USER = "nobody"
_QUOTES = {
    "src/monopod/build/images/catalogue.py": (_UNIX_USER,),
    "src/monopod/node/vmm/launcher.py": (_UNIX_USER.upper(),),
    "src/monopod/node/vmm/probe.py": (_UNIX_USER.upper(),),
    "tests/conformance/images.py": (_UNIX_USER,),
}
"""Names and texts of others that have such words, by file."""


def _tracked() -> list[Path]:
    said = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", _ROOT, "ls-files", "-z"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in said.split("\0") if name and (path := _ROOT / name).is_file()]


_FILES = _tracked()
_TEXTS = [path for path in _FILES if path.suffix not in {".png", ".svg"}]
_PAGES = [path for path in _FILES if path.suffix == ".md"]


def _name(path: Path) -> str:
    return str(path.relative_to(_ROOT))


def _slug(heading: str) -> str:
    """Return the anchor of a heading on a page."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def _links(page: Path) -> Iterator[str]:
    prose = re.sub(r"^(```.*?^```|    .*?)$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose)


def test_every_link_leads_somewhere() -> None:
    assert not [
        f"{_name(page)}: {link}" for page in _PAGES for link in _links(page) if _dead(page, link)
    ]


def _dead(page: Path, link: str) -> bool:
    if link.startswith(("https://", "http://")):
        return False
    target, _, anchor = link.partition("#")
    path = (page.parent / target).resolve() if target else page
    if not path.exists() or not path.is_relative_to(_ROOT):
        return True
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE) if anchor else []
    return bool(anchor) and anchor not in map(_slug, headings)


def test_every_page_can_be_reached() -> None:
    """By links from the front page; a link to a folder covers all its pages."""
    seen: set[Path] = set()
    waiting = [_ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for link in _links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            waiting += target.rglob("*.md") if target.is_dir() else [target]
            waiting = [path for path in waiting if path.suffix == ".md" and path.exists()]
    assert {page for page in _PAGES if page.parent != _ROOT} <= seen


def test_the_specification_names_tests_that_exist() -> None:
    page = (_ROOT / "docs" / "SPECIFICATION.md").read_text()
    named = re.findall(r"`(tests/[^`]+)`", page)
    assert named
    for test in named:
        path, _, function = test.partition("::")
        assert (_ROOT / path).exists(), test
        if function:
            assert function in _functions(_ROOT / path), test


def _functions(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_marked_rows_are_rows_of_the_specification() -> None:
    for path in _FILES:
        if path.suffix == ".py" and path.is_relative_to(_ROOT / "tests"):
            rows = set(re.findall(r'mark\.row\("([^"]*)"\)', path.read_text()))
            assert rows <= _ROWS, f"{_name(path)} marks {rows - _ROWS}"


def test_manifests_are_yaml() -> None:
    for path in _FILES:
        # Tests of the chart render it.
        in_chart = path.is_relative_to(_ROOT / "charts")
        if path.suffix in {".yaml", ".yml"} and not in_chart:
            for document in yaml.safe_load_all(path.read_text()):
                assert isinstance(document, dict), path
                if path != _ROOT / "docs/reference/monitoring/prometheus.yml":
                    assert {"apiVersion", "kind"} <= document.keys(), path


def test_component_versions_stand_in_one_place() -> None:
    """Programs take them from ``go.mod``."""
    versions = {
        component.version.removeprefix("v")
        for component in (
            *(*COMPONENTS, FORTIO, HELM, KONNECTIVITY, VERTICAL_POD_AUTOSCALER),
            *(*SCANNERS, *MONITORS),
        )
    }
    for path in _FILES:
        if path.suffix == ".py" and path.is_relative_to(_ROOT / "src"):
            for version in versions:
                stands = re.search(rf"(?<![\d.]){re.escape(version)}(?![\d.])", path.read_text())
                assert not stands, f"{_name(path)} repeats the version {version}"


def test_the_changelog_begins_with_what_is_not_released() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (_ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"


def test_packages_say_why_and_are_in_no_other_list() -> None:
    names: list[str] = []
    for line in (_ROOT / "packages.txt").read_text().splitlines():
        name = line.partition("#")[0].strip()
        if name:
            assert re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name), line
            names.append(name)
    assert len(names) == len(set(names))


def test_targets_that_pages_name_exist() -> None:
    makefile = (_ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    for page in _PAGES:
        for target in re.findall(r"(?:`|^    )make ([a-z0-9-]+)", page.read_text(), re.MULTILINE):
            assert target in targets, f"{_name(page)} names make {target}"


def test_python_packages_in_the_notice_are_those_of_the_lock() -> None:
    """Every package that Monopod needs at runtime is credited."""
    lock = tomllib.loads((_ROOT / "uv.lock").read_text())
    packages = {package["name"]: package for package in lock["package"]}
    needed: set[str] = set()
    waiting = ["monopod"]
    while waiting:
        name = waiting.pop()
        for dependency in packages[name].get("dependencies", []):
            if "marker" not in dependency and dependency["name"] not in needed:
                needed.add(dependency["name"])
                waiting.append(dependency["name"])
    notice = re.sub(r"-\n\s+", "-", (_ROOT / "NOTICE").read_text())
    missing = {name for name in needed if not re.search(rf"\b{re.escape(name)}\b", notice)}
    assert not missing


def test_files_are_tidy() -> None:
    assert not [complaint for path in _TEXTS for complaint in _untidy(path)]


def _untidy(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if text and (not text.endswith("\n") or text.endswith("\n\n")):
        yield f"{_name(path)} does not end with one newline"
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            yield f"{_name(path)}:{number} ends with blanks"
        if "\t" in line and path.suffix in {".md", ".toml", ".yaml", ".yml", ".txt"}:
            yield f"{_name(path)}:{number} has a tab"


def test_words_are_spelt_the_british_way() -> None:
    american = r"\b(behavior|favor|initializ|organiz|recogniz|summariz|neighbor)"
    assert not [
        f"{_name(path)}: {word}"
        for path in _FILES
        for line in _prose(path)
        for word in re.findall(american, line)
    ]


def test_vague_words_do_not_come_back() -> None:
    ours = [path for path in _TEXTS if path != Path(__file__) and _is_ours(path)]
    places = [place for path in ours for place in _vague(path)]
    assert not places, (
        "name what is meant instead of these words (CONTRIBUTING.md, How we write):\n"
        + "\n".join(places)
    )


def _is_ours(path: Path) -> bool:
    """Return whether we word a file: source, tests, tools and pages."""
    first = path.relative_to(_ROOT).parts[0]
    return first in {"docs", "src", "tests", "tools"} or path.suffix == ".md"


def _vague(path: Path) -> Iterator[str]:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.replace("_", " ")
        for quote in _QUOTES.get(_name(path), ()):
            text = text.replace(quote, "")
        for found in _VAGUE.finditer(text):
            yield f"{_name(path)}:{number}: {found.group().strip()}"


def _prose(path: Path) -> Iterator[str]:
    """What people read: pages, and the docstrings and comments of programs, less quoted code."""
    if path.suffix == ".md":
        yield from re.sub(r"`[^`]*`", "", path.read_text()).splitlines()
    elif path.suffix == ".py":
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield re.sub(r"``[^`]*``", "", ast.get_docstring(node) or "")
        yield from re.findall(r"^\s*# (.*)$", text, re.MULTILINE)
