"""What is known by name: Latlas' own, what a program registers, packages asked for, entry points; and what goes wrong there."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from latlas import registry
from latlas.errors import UsageError
from latlas.registry import Registry, imported_packages, owner_of, package_versions, request_imports, resolve


class Tool:
    """What the registry under test holds."""


def read_tool(name, value):
    if not isinstance(value, type):
        raise UsageError(f"it is {value!r}; it must be a class")
    return value


@pytest.fixture
def tools():
    return Registry("tool", "latlas.tools", {"path": "pathlib:Path"}, read=read_tool)


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """What a test asks to be imported is forgotten, and where it may be found."""
    monkeypatch.setattr(registry, "_requested", {})
    monkeypatch.setattr(registry, "_imported", {})
    monkeypatch.setattr(sys, "path", list(sys.path))


def install(folder: Path, package: str, code: str, **entries: str) -> None:
    """Put a package there as pip does: a module, and metadata with entry points of the group `latlas.tools`."""
    (folder / f"{package}.py").write_text(code)
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {package}:{value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[latlas.tools]", *lines]))
    sys.path.append(str(folder))


def test_latlas_own_is_loaded_when_asked_for(tools):
    assert tools.loaded() == {}
    assert "path" in tools and tools.get("path") is Path
    assert tools.loaded() == {"path": Path}


def test_a_taken_name_is_refused_with_both_owners(tools):
    tools.add("hammer", Tool)
    assert tools.get("hammer") is Tool
    with pytest.raises(
        UsageError, match=f"tool 'hammer' is registered already, by {owner_of(Tool)}; package pathlib must"
    ):
        tools.add("hammer", Path)
    with pytest.raises(UsageError, match="tool 'path' is registered already, by package pathlib"):
        tools.add("path", Tool)
    assert owner_of(Registry) == "Latlas" and owner_of("latlas.spaces.portrait:PortraitSpace") == "Latlas"


def test_a_definition_that_runs_again_takes_its_own_place(tools):
    again = type("Tool", (), {"__module__": Tool.__module__, "__qualname__": Tool.__qualname__})
    tools.add("hammer", Tool)
    tools.add("hammer", again)
    assert tools.get("hammer") is again


def test_an_entry_point_is_loaded_only_when_its_name_is_asked_for(tools, tmp_path):
    install(tmp_path, "toolbox_one", "class Saw: pass\n", saw="Saw")
    assert tools.names() == ("path", "saw")
    assert "saw" in tools and "toolbox_one" not in sys.modules
    assert tools.get("saw").__module__ == "toolbox_one"


def test_nothing_is_looked_up_for_a_known_name(tools, monkeypatch):
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: pytest.fail("entry points were looked up"))
    request_imports(["no_such_package"])
    assert tools.get("path") is Path


def test_a_broken_package_is_one_line_and_only_where_it_is_asked_for(tools, tmp_path):
    install(tmp_path, "toolbox_broken", "raise RuntimeError('no\\nluck')\n", drill="Drill")
    assert tools.names() == ("path", "drill") and tools.get("path") is Path
    with pytest.raises(
        UsageError,
        match=r"^tool 'drill' of package toolbox_broken \(toolbox_broken:Drill\) cannot be loaded: RuntimeError: no luck$",
    ):
        tools.get("drill")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\n", "AttributeError: module 'toolbox_wrong' has no attribute 'Drill'"),
        ("Drill = 3\n", r"^tool 'drill' of package toolbox_wrong \(toolbox_wrong:Drill\): it is 3; it must be a class"),
        ("import sys\nsys.exit(3)\n", "cannot be loaded: SystemExit: 3"),
    ],
)
def test_an_entry_point_that_is_none_is_said(tools, tmp_path, monkeypatch, code, message):
    monkeypatch.delitem(sys.modules, "toolbox_wrong", raising=False)
    install(tmp_path, "toolbox_wrong", code, drill="Drill")
    with pytest.raises(UsageError, match=message):
        tools.get("drill")


def test_two_packages_that_offer_one_name_are_named(tools, tmp_path):
    install(tmp_path, "toolbox_left", "class Saw: pass\n", saw="Saw")
    install(tmp_path, "toolbox_right", "class Saw: pass\n", saw="Saw")
    with pytest.raises(
        UsageError, match="'saw' is offered by package toolbox_left and package toolbox_right; uninstall"
    ):
        tools.get("saw")


def test_an_entry_point_that_would_take_the_place_of_ours_is_left_out(tools, tmp_path, caplog):
    install(tmp_path, "toolbox_thief", "class Path: pass\n", path="Path")
    with caplog.at_level(logging.WARNING):
        assert tools.names() == ("path",)
    assert "package toolbox_thief offers the tool 'path', which is Latlas' own" in caplog.text
    assert tools.get("path") is Path


def test_an_unknown_name_says_what_there_is_and_what_to_do(tools, tmp_path):
    install(tmp_path, "toolbox_more", "class Saw: pass\n", saw="Saw")
    with pytest.raises(UsageError, match=r"unknown tool 'axe'; known: path, saw; .* give `--import PACKAGE`"):
        tools.get("axe")


def test_a_package_asked_for_is_imported_before_entry_points_are_looked_up(tools, tmp_path, monkeypatch):
    (tmp_path / "toolbox_asked.py").write_text("import sys\nsys.toolbox.add('saw', type('Saw', (), {}))\n")
    monkeypatch.setattr(sys, "toolbox", tools, raising=False)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: pytest.fail("entry points were looked up"))
    monkeypatch.chdir(tmp_path)
    request_imports(["toolbox_asked"], from_here=True)
    assert "toolbox_asked" not in sys.modules and imported_packages() == ()
    assert tools.get("saw").__name__ == "Saw"
    assert imported_packages() == ("toolbox_asked",)


@pytest.mark.parametrize("name", ["", "my-package", "my_space.py/", "a..b", "../up", "3d"])
def test_what_is_no_packages_name_is_refused(name):
    with pytest.raises(UsageError, match=r"--import is .*; it must be the name of a package or module"):
        request_imports([name])


def test_a_package_that_is_not_there_is_named():
    request_imports(["no_such_package"])
    with pytest.raises(
        UsageError, match=r"^--import no_such_package: the package cannot be loaded: ModuleNotFoundError"
    ):
        registry.import_requested()


def test_a_reference_is_resolved_to_a_callable():
    assert resolve("pathlib:Path.cwd", "x") == Path.cwd and resolve(Tool, "x") is Tool
    with pytest.raises(UsageError, match=r"^the builder, pathlib:Track, cannot be loaded: AttributeError"):
        resolve("pathlib:Track", "the builder")
    with pytest.raises(UsageError, match=r"the builder is 'posix.*'; it must be a callable"):
        resolve("os:name", "the builder")


def test_the_versions_of_other_packages_are_told_and_latlas_own_is_not(tmp_path):
    install(tmp_path, "toolbox_versioned", "class Saw: pass\n", saw="Saw")
    (tmp_path / "toolbox_versioned-1.0.dist-info" / "top_level.txt").write_text("toolbox_versioned\n")
    found = package_versions(
        ["toolbox_versioned:Saw", Registry, "latlas.spaces.portrait:PortraitSpace", "mine.saw:Saw"]
    )
    assert found == {"mine": "unknown", "toolbox_versioned": "1.0"}
    assert package_versions([Registry]) == {}


def test_spaces_need_no_import_of_their_own_to_be_known():
    program = "from latlas.spaces.text import parse_space; print(parse_space('nasbench201:cells=1').text)"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "nasbench201:cells=1"
