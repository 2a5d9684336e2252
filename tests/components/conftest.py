"""A component of three files that builds in a second, to test building itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from monopod.build.components import Component, Program, catalogue
from monopod.settings import Settings

_MAIN = """\
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"example.com/greeting"
)

var version = "unset"

func main() {
	fmt.Println(filepath.Base(os.Args[0]), version, greeting.Text)
}
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of components that holds one, ``hello``, of version 1.2.3."""
    root = tmp_path / "modules"
    hello = root / "hello"
    (hello / "greeting").mkdir(parents=True)
    (hello / "main.go").write_text(_MAIN)
    (hello / "greeting" / "greeting.go").write_text('package greeting\n\nconst Text = "hello"\n')
    (hello / "greeting" / "go.mod").write_text("module example.com/greeting\n\ngo 1.24\n")
    (hello / "go.mod").write_text(
        "module example.com/hello\n\ngo 1.24\n\nrequire example.com/greeting v1.2.3\n\n"
        "replace example.com/greeting => ./greeting\n"
    )
    (hello / "go.sum").write_text("")
    monkeypatch.setattr(catalogue, "modules_root", lambda: root)
    catalogue.module_version.cache_clear()
    yield root
    catalogue.module_version.cache_clear()


@pytest.fixture
def hello(modules: Path) -> Component:
    """One binary that provides two programs."""
    del modules
    return Component(
        name="hello",
        module="example.com/greeting",
        packages={"hello": "."},
        programs=(
            Program("salute", (), "salute {version} hello", binary="hello"),
            Program("greet", (), "greet {version} hello", binary="hello"),
        ),
        variables={"main.version": "{version}"},
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache=tmp_path / "cache", home=tmp_path / "home", components=None)
