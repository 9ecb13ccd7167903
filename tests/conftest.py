import importlib.util
import os
import signal
import sys
import tempfile

import pytest

# As cli.main does, before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from latlas.spaces.portrait import PortraitSpace


def pytest_configure():
    """Whoever starts the tests may ignore Ctrl-C, as a shell does for what it runs in the background, and so would they."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_temporary_folder(tmp_path_factory):
    """Each process of the tests has its own timing lock, which is in the folder for temporary files."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("TMPDIR", str(folder))
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
