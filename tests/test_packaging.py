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
ROOMS = ("latency", "supernet", "search")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PYPROJECT["tool"]["setuptools"]["packages"]
NOT_PACKAGES = {"tests", "benchmarks", "build", "dist", "runs"}
HEAVY = {"torch", "openvino", "pandas", "pyarrow", "sklearn", "lightgbm", "scipy", "matplotlib", "numpy"}


def source_files() -> list[Path]:
    """Every Python file of the package, cli.py included."""
    folders = ("commands", *ROOMS)
    return [ROOT / "cli.py", *(path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))]


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


def test_no_init_at_the_root_and_no_python_in_tables():
    assert not (ROOT / "__init__.py").exists()
    assert list((ROOT / "tables").rglob("*.py")) == []


def test_wheel_holds_the_package_and_the_tables_and_nothing_else(tmp_path):
    source = tmp_path / "source"
    for folder in ("commands", *ROOMS, "tables"):
        if (ROOT / folder).exists():  # git keeps no empty folder
            shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "README.md", "cli.py"):
        shutil.copy(ROOT / name, source / name)
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
    assert "latlas/tables/some-cpu/space-f32-t1.parquet" in names
    assert {name.partition("/")[0] for name in names if not name.startswith("latlas/")} == {
        f"latlas-{PYPROJECT['project']['version']}.dist-info"
    }


# Which way imports point


def test_only_four_files_import_openvino():
    importers = [path for path in source_files() if any(within(name, "openvino") for name in imported_modules(path))]
    assert [path.relative_to(ROOT).as_posix() for path in importers] == [
        f"latency/{name}.py" for name in ("conversion", "model_file", "runtime", "stitching")
    ]


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_downwards(path):
    modules = {name for name in imported_modules(path) if within(name, "latlas")}
    room = path.relative_to(ROOT).parts[0]
    if room == "latency":
        wrong = {name for name in modules if not within(name, "latlas.latency")}
    elif room == "supernet":
        below = [
            f"latlas.latency.{module}" for module in ("ops", "chain_ops", "cell_ops", "graph", "encoding", "errors")
        ]
        wrong = {name for name in modules if not within(name, "latlas.supernet", *below)}
    elif room == "search":
        wrong = {name for name in modules if not within(name, *(f"latlas.{room}" for room in ROOMS))}
    elif room == "commands":
        wrong = {name for name in modules if within(name, "latlas.cli")}
    else:
        wrong = set()
    assert wrong == set()


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
    for path in (ROOT / "cli.py", *sorted((ROOT / "commands").glob("*.py"))):
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
