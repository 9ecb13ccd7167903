"""`docs/extending.md` and the example package as somebody would use them: the page's blocks are a module that works."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from latlas import registry
from latlas.latency.formats.interchange import export_table, import_table
from latlas.latency.formats.table_format import FORMATS, ImportOptions
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
    assert export_table(import_table(lut, None, ImportOptions()).table, "pairs") == ("blur 0.5\n", [])


WRONG = """
from my_package import *
from latlas.testing import OperatorSuite

latlas.register_operator(Kind("wrong", DEPTHWISE.macs, params=lambda spec: 1, has_kernel=True, builder=build))


class TestWrong(OperatorSuite):
    specs = (OpSpec("wrong", 4, 4, 12, 10, 2, 5),)
"""


@pytest.mark.timeout(300)
def test_what_the_page_and_the_example_bring_passes_the_suites_and_what_says_too_little_does_not(folder):
    (suites,) = [block for block in PYTHON if "latlas.testing" in block]
    (folder / "test_my_package.py").write_text("from my_package import *\n" + suites)
    (folder / "test_wrong.py").write_text(WRONG)
    done = pytest_on(folder, folder / "test_my_package.py", EXAMPLE / "tests", folder / "test_wrong.py")
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    assert done.returncode == 1 and len(failed) == 1, done.stdout + done.stderr
    assert "TestWrong::test_module_has_the_shape_parameters_and_macs_of_its_spec[wrong_k5" in failed[0]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None and int(passed[1]) > 100


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
