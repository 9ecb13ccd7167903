"""What is said of installing, in a checkout and from a wheel."""

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from latlas import distribution
from latlas.distribution import (
    how_to_install,
    how_to_install_package,
    is_installed,
    latlas_version,
    missing_package,
    requirements,
)
from latlas.errors import MissingPackageError, UsageError

CHECKOUT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
METADATA = [
    "torch<3,>=2.13",
    "numpy<3,>=2.4",
    'cmaes<1,>=0.13; extra == "optuna"',
    "optuna<6,>=5.0; extra == 'optuna'",
    'moto[s3]<6,>=5.2; extra == "dev"',
]


@pytest.fixture
def wheel(monkeypatch, tmp_path):
    """Latlas as it is in a folder without a `pyproject.toml`, with metadata that we know."""
    monkeypatch.setattr(distribution, "ROOT", tmp_path)
    monkeypatch.setattr(metadata, "requires", lambda name: METADATA)
    monkeypatch.setattr(metadata, "version", lambda name: "1.2.3")


def test_a_checkout_says_its_own_version(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.1")  # an editable install that is older than the files
    assert latlas_version() == PROJECT["version"]


def test_a_checkout_is_installed_with_an_extra(monkeypatch, tmp_path):
    monkeypatch.chdir(CHECKOUT)
    assert how_to_install("optuna") == "pip install -e '.[optuna]'"
    monkeypatch.chdir(tmp_path)
    assert how_to_install("optuna") == f"pip install -e '{distribution.ROOT}[optuna]'"


@pytest.mark.usefixtures("wheel")
def test_beside_a_wheel_the_packages_themselves_are_named():
    assert latlas_version() == "1.2.3"
    assert how_to_install("optuna") == "pip install 'cmaes<1,>=0.13' 'optuna<6,>=5.0'"
    assert how_to_install("dev") == "pip install 'moto[s3]<6,>=5.2'"
    assert requirements() == ["torch<3,>=2.13", "numpy<3,>=2.4"]


def test_not_installed_at_all(monkeypatch, tmp_path):
    def none(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(distribution, "ROOT", tmp_path)
    monkeypatch.setattr(metadata, "requires", none)
    monkeypatch.setattr(metadata, "version", none)
    assert (latlas_version(), requirements("optuna")) == ("unknown", [])


@pytest.mark.parametrize("extra", sorted(set(PROJECT["optional-dependencies"])))
def test_every_extra_has_packages(extra):
    assert requirements(extra) == PROJECT["optional-dependencies"][extra] != []


def test_one_package_with_the_versions_that_were_tested():
    (torch,) = (one for one in PROJECT["dependencies"] if one.startswith("torch>"))
    assert how_to_install_package("torch") == f"pip install '{torch}'"


@pytest.mark.parametrize(("module", "package"), [("torch", "torch"), ("PIL.Image", "pillow"), ("yaml", "pyyaml")])
def test_a_module_of_a_dependency_that_is_missing(module, package):
    error = missing_package(ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert isinstance(error, UsageError)
    assert isinstance(error, ImportError)
    assert str(error).startswith(f"this needs the package {package}, which is not installed: pip install '{package}>=")


def test_a_module_of_nobody_we_depend_on_is_not_explained():
    assert missing_package(ModuleNotFoundError("No module named 'left_pad'", name="left_pad")) is None
    assert missing_package(ModuleNotFoundError("No name")) is None


def test_is_installed_loads_nothing():
    code = (
        "from latlas.distribution import is_installed; import sys; print(is_installed('torch'), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
    assert not is_installed("latlas_that_nobody_has")


def test_a_finder_that_refuses_counts_as_not_installed(monkeypatch):
    class Refuses:
        def find_spec(self, name, path=None, target=None):
            if name == "torch_that_is_refused":
                raise ModuleNotFoundError(name, name=name)

    monkeypatch.setattr(sys, "meta_path", [Refuses(), *sys.meta_path])
    assert not is_installed("torch_that_is_refused")


def test_torch_is_named_with_who_needs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        MissingPackageError, match=r"^train-supernet needs torch, which is not installed: pip install 'torch>="
    ):
        distribution.require_torch("train-supernet")
