import importlib.util
import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest

# As cli.main does, before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from latlas.spaces.portrait import PortraitSpace

CPUS = {"avx2": ["f32", "int8"], "amx": ["f32", "bf16", "int8"]}
"""Precisions of CPUs that the tests can pretend: an Intel Core i7-8700's, and those of a Xeon with AMX."""


def pytest_addoption(parser):
    help = "pretend another CPU's precisions; avx2 also keeps torch and oneDNN to AVX2, as on an i7-8700"
    parser.addoption("--cpu", choices=sorted(CPUS), default=None, help=help)


def pytest_configure(config):
    """Whoever starts the tests may ignore Ctrl-C, as a shell does for what it runs in the background, and so would they."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--cpu") == "avx2":  # before torch is loaded; both libraries read it once
        os.environ |= {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2"}


LONGEST = (
    "commands/test_cli.py",
    "search/run/test_resume.py",
    "search/run/test_search_cli.py",
    "search/run/test_proxy_search.py",
    "benchmarks/test_strategies.py",
    "latency/test_robust.py",
    "benchmarks/test_ranking.py",
    "search/constraint/test_promise.py",
    "test_example.py",
    "test_extending.py",
)
"""The files that take longest come first, so that no process is left with one of them when the others are done."""


def pytest_collection_modifyitems(items):
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session", autouse=True)
def _pretended_cpu(pytestconfig):
    """The precisions that `--cpu` pretends. Real networks are compiled at f32 and int8 only, which any x86-64 CPU can."""
    with pytest.MonkeyPatch.context() as patch:
        if (cpu := pytestconfig.getoption("--cpu")) is not None:
            patch.setattr("latlas.latency.runtime.plugin.supported_precisions", lambda: list(CPUS[cpu]))
        yield


@pytest.fixture
def any_precision(monkeypatch):
    """A CPU that has every precision, for tests that compile nothing."""
    monkeypatch.setattr("latlas.latency.runtime.plugin.supported_precisions", lambda: list(CPUS["amx"]))


@pytest.fixture(scope="session", autouse=True)
def _own_temporary_folder(tmp_path_factory):
    """Each process of the tests has its own timing lock, which is in the folder for temporary files."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))  # what references usually take is remembered there
        patch.setenv("TMPDIR", str(folder))
        yield


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_synced():
    """No test cuts the power: what a killed process wrote is there without a disk's having been waited for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: None)
        yield


@pytest.fixture(scope="session")
def tiny_space():
    """A portrait space small enough to convert and train in a test."""
    return PortraitSpace(
        height=32,
        width=32,
        stem_channels=8,
        widths=(8, 8, 16, 16),
        depths=(1, 2, 1, 1),
        decoder_channels=8,
        aspp_channels=8,
        skip=True,
    )


@pytest.fixture(scope="module")
def load_script():
    """A script of the repository as a module, by its path; gone when the test's module is done, with what it did to the path."""
    path, names = list(sys.path), []

    def load(script):
        spec = importlib.util.spec_from_file_location(f"script_{script.stem}", script)
        module = importlib.util.module_from_spec(spec)
        names.append(spec.name)
        sys.modules[spec.name] = module  # its dataclasses look themselves up
        spec.loader.exec_module(module)
        return module

    yield load
    for name in names:
        del sys.modules[name]
    sys.path[:] = path
