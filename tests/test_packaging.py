"""The rules of design.md section 2: what is packaged, what imports what, and that `latlas --help` is light."""

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("api", "commands", "files", "latency", "search", "spaces", "supernet", "testing")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PYPROJECT["tool"]["setuptools"]["packages"]
NOT_PACKAGES = {"tests", "benchmarks", "examples", "build", "dist", "runs"}
HEAVY = {"torch", "openvino", "pandas", "pyarrow", "sklearn", "lightgbm", "scipy", "matplotlib", "numpy"}


def source_files() -> list[Path]:
    """Every Python file of the package, those at the root included."""
    return [*sorted(ROOT.glob("*.py")), *(path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))]


def module_of(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = ("latlas", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path, root: Path = ROOT, *, top_level_only: bool = False) -> set[str]:
    """Full names of the modules that a file imports; `from package import module` counts as `package.module`."""
    package = ("latlas", *path.relative_to(root).parent.parts)
    tree = ast.parse(path.read_text(), str(path))
    found = set()
    for node in import_time_nodes(tree) if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names} if module in PACKAGES else {module}
    return found


def import_time_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the file is imported: all but the bodies of functions and of `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield from (other, *import_time_nodes(other))
            continue
        yield node
        yield from import_time_nodes(node)


def within(module: str, *packages: str) -> bool:
    """Whether a module is one of the packages or inside one of them."""
    return any(module == package or module.startswith(package + ".") for package in packages)


def heavy_modules_after(code: str, tmp_path: Path) -> set[str]:
    """The heavy libraries that a fresh interpreter has loaded after running `code`; raises if the code fails."""
    report = (
        f"import json, sys; sys.stderr.write('LOADED' + json.dumps(sorted(sys.modules.keys() & set({sorted(HEAVY)}))))"
    )
    program = f"import sys\ntry:\n    {code}\nexcept SystemExit as end:\n    assert not end.code, end.code\n{report}\n"
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.rpartition("LOADED")[2]))


# What is packaged


def test_packages_listed_are_the_folders_with_python():
    found = {"latlas"}
    for folder, subfolders, files in os.walk(ROOT):
        subfolders[:] = [name for name in subfolders if not name.startswith((".", "__")) and name not in NOT_PACKAGES]
        subfolders[:] = [name for name in subfolders if not name.endswith(".egg-info")]
        if any(name.endswith(".py") for name in files):
            found.add(".".join(["latlas", *Path(folder).relative_to(ROOT).parts]))
    assert sorted(PACKAGES) == sorted(found)


@pytest.mark.parametrize("room", ROOMS)
def test_every_package_folder_has_an_init(room):
    folders = {path.parent for path in (ROOT / room).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_root_is_the_package_and_no_python_is_in_tables():
    """`tables` would be imported in place of PyTables by whoever runs Python at the repository's root."""
    assert (ROOT / "__init__.py").is_file() and (ROOT / "py.typed").is_file()
    assert list((ROOT / "tables").rglob("*.py")) == []


def test_wheel_holds_the_package_and_the_tables_and_nothing_else(tmp_path):
    source = tmp_path / "source"
    for folder in (*ROOMS, "tables"):
        if (ROOT / folder).exists():  # git keeps no empty folder
            shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*(ROOT / name for name in ("pyproject.toml", "LICENSE", "README.md", "py.typed")), *ROOT.glob("*.py")):
        shutil.copy(path, source / path.name)
    table = source / "tables" / "some-cpu" / "space-f32-t1.parquet"
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_bytes(b"PAR1")

    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", str(source), "--wheel-dir", str(tmp_path), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr

    (wheel,) = tmp_path.glob("latlas-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    modules = {name for name in names if name.endswith(".py")}
    assert modules == {f"latlas/{path.relative_to(ROOT).as_posix()}" for path in source_files()}
    assert {"latlas/tables/some-cpu/space-f32-t1.parquet", "latlas/py.typed"} <= set(names)
    assert {name.partition("/")[0] for name in names if not name.startswith("latlas/")} == {
        f"latlas-{PYPROJECT['project']['version']}.dist-info"
    }


# Which way imports point


def test_only_one_room_imports_openvino():
    importers = {p.parent for p in source_files() if any(within(name, "openvino") for name in imported_modules(p))}
    assert importers == {ROOT / "latency" / "runtime"}


LAYERS = (
    ("errors", "arrays", "choices"),
    ("distribution", "option", "registry"),
    ("files",),
    ("spaces",),
    ("latency", "supernet"),
    ("search",),
    ("api", "testing"),
    ("commands",),
    ("cli",),
    ("latlas", "__main__"),
)
"""From the ground up: a room imports from itself and from layers below it; two rooms of a layer do not know each other.

`latlas` is the package itself, whose names stand in the rooms."""


def room_of(module: str) -> str:
    """The room that a module of ours stands in: its name's second part; the package itself stands above all."""
    return module.split(".")[1] if "." in module else module


def wrong_imports(importer: str, modules: set[str]) -> set[str]:
    """Which of the modules that a module imports are neither of its own room nor of a layer below."""
    height = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
    own = room_of(importer)
    ours = {name for name in modules if within(name, "latlas")}
    return {name for name in ours if room_of(name) != own and height[room_of(name)] >= height[own]}


def test_every_room_has_its_layer():
    assert {room_of(module_of(path)) for path in source_files()} == {room for rooms in LAYERS for room in rooms}


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_downwards(path):
    assert wrong_imports(module_of(path), imported_modules(path)) == set()


def test_an_import_upwards_or_sideways_would_be_seen():
    assert wrong_imports("latlas.spaces.graph", {"latlas.latency.table.row", "latlas.errors", "numpy"}) == {
        "latlas.latency.table.row"
    }
    assert wrong_imports("latlas.latency.fitting.fit", {"latlas.supernet.operators.build"}) != set()
    assert wrong_imports("latlas.commands.options", {"latlas"}) == {"latlas"}


def cycles(graph: dict[str, set[str]]) -> set[str]:
    """The nodes that lie on a circle, or between two: what is left when all that import nothing are taken away, and so on."""
    left = {node: set(others) for node, others in graph.items()}
    while free := {node for node, others in left.items() if not others & left.keys()}:
        left = {node: others for node, others in left.items() if node not in free}
    return set(left)


def import_graph() -> dict[str, set[str]]:
    """Which of our modules each of them imports as it is loaded."""
    known = {module_of(path): path for path in source_files()}
    graph = {}
    for name, path in known.items():
        found = imported_modules(path, top_level_only=True)
        graph[name] = {other for other in known if other != name and other in found}
    return graph


def test_no_module_imports_itself_by_way_of_others():
    assert cycles(import_graph()) == set()


def test_no_folder_imports_itself_by_way_of_others():
    folders: dict[str, set[str]] = {}
    for name, others in import_graph().items():
        own = name.rpartition(".")[0] if name.count(".") > 1 else name
        theirs = {other.rpartition(".")[0] if other.count(".") > 1 else other for other in others}
        folders.setdefault(own, set()).update(theirs - {own})
    assert cycles(folders) == set()


def test_a_circle_would_be_seen():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()}) == {"a", "b", "c"}


def test_spaces_load_without_torch(tmp_path):
    rooms = {module_of(path) for path in source_files() if path.relative_to(ROOT).parts[0] in ("files", "spaces")}
    assert not heavy_modules_after(f"import {', '.join(sorted(rooms))}", tmp_path) & {"torch", "openvino"}


@pytest.mark.parametrize("folder", sorted({path.parent for path in source_files()}), ids=str)
def test_no_folder_is_crowded(folder):
    assert len(list(folder.glob("*.py"))) <= 20


def test_imports_are_seen_in_every_form(tmp_path):
    folder = tmp_path / "supernet"
    folder.mkdir()
    file = folder / "module.py"
    file.write_text(
        "import numpy as np, openvino.properties\n"
        "from latlas import search\n"
        "from latlas.latency import ops\n"
        "from ..latency.tables import Table\n"
        "from .. import cli\n"
        "from . import spaces\n"
        "if TYPE_CHECKING:\n    import pandas\n"
        "def f():\n    from torch import nn\n"
    )
    here = {"latlas.search", "latlas.latency.ops", "latlas.latency.tables", "latlas.cli", "latlas.supernet.spaces"}
    light = {"numpy", "openvino.properties", *here}
    assert imported_modules(file, tmp_path) == {*light, "pandas", "torch"}
    assert imported_modules(file, tmp_path, top_level_only=True) == light


# What an import costs


def test_cli_imports_nothing_heavy_at_its_top():
    for path in (ROOT / "cli.py", *sorted((ROOT / "api").glob("*.py")), *sorted((ROOT / "commands").glob("*.py"))):
        modules = imported_modules(path, top_level_only=True)
        assert {name for name in modules if within(name, *HEAVY)} == set(), path


def test_help_loads_nothing_heavy(tmp_path):
    code = "from latlas.cli import main; sys.argv = ['latlas', '--help']; main()"
    assert heavy_modules_after(code, tmp_path) == set()


def test_importing_the_packages_loads_neither_torch_nor_openvino(tmp_path):
    assert not heavy_modules_after(f"import {', '.join(PACKAGES)}", tmp_path) & {"torch", "openvino"}


@pytest.mark.parametrize("library", ["torch", "openvino"])
def test_a_heavy_import_would_be_seen(library, tmp_path):
    assert library in heavy_modules_after(f"import {library}; sys.exit(0)", tmp_path)


def test_a_failing_command_would_be_seen(tmp_path):
    with pytest.raises(AssertionError):
        heavy_modules_after("sys.exit(2)", tmp_path)
