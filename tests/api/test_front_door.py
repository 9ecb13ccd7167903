"""What `import latlas` offers, and what it costs."""

import inspect
import json
import subprocess
import sys

import pytest

import latlas
from latlas import errors

NAMES = [
    "LatencyConstraint",
    "__version__",
    "adapt_predictor",
    "architecture",
    "errors",
    "fit_predictor",
    "fit_sample_predictor",
    "load_data",
    "load_predictor",
    "load_sample_predictor",
    "load_supernet",
    "load_table",
    "measure",
    "predict",
    "profile",
    "register_format",
    "register_operator",
    "register_space",
    "register_strategy",
    "search",
    "space",
    "train_supernet",
]
HEAVY = ("numpy", "torch", "openvino", "pandas", "pyarrow", "sklearn", "scipy", "matplotlib", "typer", "rich")


def loaded_after(code, tmp_path):
    """Which heavy libraries, and how many modules in all, a fresh interpreter has loaded after running the code."""
    report = f"import json, sys; print(json.dumps([[m for m in {HEAVY} if m in sys.modules], len(sys.modules)]))"
    command = [sys.executable, "-P", "-c", f"{code}\n{report}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_the_names_are_these():
    assert latlas.__all__ == NAMES
    assert set(NAMES) <= set(dir(latlas))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there(name):
    value = getattr(latlas, name)
    assert name == "__version__" or value.__doc__
    assert vars(latlas)[name] is value


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("_") and name != "errors"])
def test_every_name_has_an_example(name):
    value = getattr(latlas, name)
    assert ">>> " in (inspect.getdoc(value) or "")


def test_a_star_import_brings_them_all():
    names: dict[str, object] = {}
    exec("from latlas import *", names)
    assert set(NAMES) <= set(names)


def test_another_name_is_none_of_them():
    with pytest.raises(AttributeError, match="module 'latlas' has no attribute 'profil'"):
        _ = latlas.profil
    assert not hasattr(latlas, "numpy")


def test_the_version_is_that_of_the_installed_package():
    from importlib.metadata import version

    assert latlas.__version__ == version("latlas")


def test_importing_it_loads_nothing_heavy(tmp_path):
    heavy, modules = loaded_after("import latlas", tmp_path)
    bare = loaded_after("import __future__, typing, importlib", tmp_path)[1]
    assert heavy == []
    assert modules - bare < 25


def test_a_heavy_import_would_be_seen(tmp_path):
    assert "numpy" in loaded_after("import latlas; latlas.space('portrait')", tmp_path)[0]


def test_only_search_is_the_name_of_a_room_too():
    """Importing a room sets it on the package, in place of whatever had its name."""
    rooms = {"api", "commands", "files", "latency", "search", "spaces", "supernet", "tables", "cli", "arrays"}
    assert rooms & set(NAMES) <= {"search"}


@pytest.mark.parametrize(
    "first",
    [
        "import latlas",
        "import latlas.search",
        "import latlas.search.strategies.names",
        "import latlas.search.strategies.names as names",
        "from latlas import search",
        "from latlas.search.strategies import names",
        "import latlas; latlas.search; import latlas.search.run",
        "import latlas.search, importlib; importlib.reload(latlas.search)",
        "import latlas, importlib; latlas.search; importlib.reload(latlas)",
    ],
)
def test_search_is_called_and_is_a_room_whatever_was_imported_first(first, tmp_path):
    """A stand-in takes the function's place: what is tried is that it is reached, and the room's modules are too."""
    code = f"""
import sys, types, inspect
sys.modules["latlas.api.search"] = types.ModuleType("latlas.api.search")
sys.modules["latlas.api.search"].search = lambda space, *given, out=None: (space, given, out)
{first}
import latlas
assert latlas.search(1, 2, out=3) == (1, (2,), 3)
assert str(inspect.signature(latlas.search)) == "(space, *given, out=None)"
import latlas.search.strategies.names
assert latlas.search is sys.modules["latlas.search"] and latlas.search(1) == (1, (), None)
assert latlas.search.strategies.names.register_strategy is latlas.register_strategy
from latlas.search.strategies.names import REGISTRY
from latlas import search
assert search is latlas.search and isinstance(search, types.ModuleType) and "search" not in latlas._MODULES
"""
    assert "torch" not in loaded_after(code, tmp_path)[0]


def test_an_option_is_a_keyword_with_its_type_and_help():
    signature = inspect.signature(latlas.fit_predictor)
    assert list(signature.parameters)[:2] == ["space", "table"]
    assert signature.parameters["subnets"].default == 150
    assert "    subnets: Measured subnets to learn from." in (inspect.getdoc(latlas.fit_predictor) or "")
    with pytest.raises(TypeError, match="unexpected keyword argument 'subnet'"):
        latlas.fit_predictor(latlas.space("portrait"), subnet=20)  # type: ignore[call-arg]
    with pytest.raises(errors.UsageError, match="subnets is 3; it must be at least 10"):
        latlas.fit_predictor(latlas.space("portrait"), subnets=3)
