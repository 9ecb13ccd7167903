"""`docs/extending.md` and the example package as somebody would use them: the page's blocks are a module that works."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from latlas import registry
from latlas.latency.formats.interchange import export_table, import_table
from latlas.latency.formats.table_format import FORMATS, Told
from latlas.search.strategies.names import REGISTRY as STRATEGIES
from latlas.spaces.operators.spec import KINDS, OpSpec
from latlas.spaces.text import SPACES, parse_space
from tests.documents import ROOT, blocks, page

EXAMPLE = ROOT / "examples" / "latlas_example"
PYTHON = blocks(page("extending.md"), "python")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the page's module lies; afterwards nothing of it is known."""
    for one in (SPACES, KINDS, STRATEGIES, FORMATS):
        monkeypatch.setattr(one, "_things", dict(one._things))
    monkeypatch.setattr(registry, "_imported", {})
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    module = "\n\n".join(block for block in PYTHON if "latlas.testing" not in block)
    (tmp_path / "my_package.py").write_text(module)
    yield tmp_path
    sys.modules.pop("my_package", None)


def test_the_pages_operator_space_strategy_and_format_work(folder):
    registry.request_imports(["my_package"])
    space = parse_space("strip:layers=2")
    assert space.size == 9 and str(space.cover()[1]) == "strip:layers=2/d5-d5"
    assert OpSpec("depthwise", 4, 4, 10, 10, 2, 3).macs == 4 * 9 * 25
    assert OpSpec("depthwise", 4, 4, 10, 10, 2, 3).params == 4 * 9 + 8
    assert {"sweep"} <= {*STRATEGIES.names()}
    lut = folder / "some.pairs"
    lut.write_text("blur 0.5\n")
    assert export_table(import_table(lut, None, Told()).table, "pairs") == ("blur 0.5\n", [])


@pytest.mark.timeout(300)
def test_what_the_page_and_the_example_bring_passes_the_suites(folder):
    (suites,) = [block for block in PYTHON if "latlas.testing" in block]
    test = folder / "test_my_package.py"
    test.write_text("from my_package import *\n" + suites)
    done = pytest_on(folder, test, EXAMPLE / "tests")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_suite_fails_for_an_operator_that_says_too_little(folder):
    wrong = (folder / "my_package.py").read_text().replace("(spec.kernel_size**2 + 2)", "spec.kernel_size**2")
    (folder / "my_package.py").write_text(wrong)
    test = folder / "test_my_package.py"
    test.write_text(
        "from my_package import *\nfrom latlas.testing import OperatorSuite\n\n"
        "class TestDepthwise(OperatorSuite):\n    specs = (OpSpec('depthwise', 4, 4, 12, 10, 2, 5),)\n"
    )
    done = pytest_on(folder, test)
    assert done.returncode == 1 and "1 failed, 4 passed" in done.stdout, done.stdout + done.stderr
    assert "test_module_has_the_shape_parameters_and_macs_of_its_spec" in done.stdout


def pytest_on(folder: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
    """pytest in a process of its own, which finds the page's module and the example as if they were installed."""
    search = os.pathsep.join([str(folder), str(EXAMPLE)])
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"]
    return subprocess.run(
        [*command, "--rootdir", str(folder), *map(str, paths)],
        env=os.environ | {"PYTHONPATH": search, "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
