"""What a command loads: nothing heavy that it does not use. Each group of commands runs in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[1] / "data"
HEAVY = ("torch", "openvino", "pandas", "pyarrow", "sklearn", "lightgbm", "scipy", "matplotlib", "numpy", "fsspec")
TYPING_ERRORS = [
    ["search", "--straregy", "x"],
    ["search", "--device", "gpu"],
    ["profile-ops", "--precision", "fp32"],
    ["profile-ops", "--out", "/proc/latlas/t.parquet"],
    ["fit-predictor", "--choice", "x"],
    ["fit-predictor", "--table", "gone.parquet"],
    ["train-supernet", "--device", "gpu"],
    ["train-supernet", "--data", "gone"],
    ["predict", "--predictor", "gone"],
    ["measure", "gone.xml"],
    ["doctor", "--precision", "fp32"],
]


def loaded_after(commands: list[list[str]], folder: Path, code: int) -> set[str]:
    """The heavy libraries that a process has loaded when it has run these commands, each of which must end with the code."""
    program = (
        "import json, sys\nfrom latlas import cli\n"
        f"codes = [cli.run(words) for words in {commands!r}]\n"
        f"sys.stderr.write('LOADED' + json.dumps([codes, [name for name in {HEAVY!r} if name in sys.modules]]))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    codes, loaded = json.loads(done.stderr.rpartition("LOADED")[2])
    assert codes == [code] * len(commands), done.stderr
    return set(loaded)


def test_help_version_and_typing_errors_load_nothing(tmp_path):
    assert loaded_after([["--help"], ["--version"], ["search", "--help"], ["tables", "--help"]], tmp_path, 0) == set()
    assert loaded_after(TYPING_ERRORS, tmp_path, 2) == set()


@pytest.mark.parametrize(
    ("words", "loaded"),
    [
        (["profile-ops", "--dry-run", "--space", "nasbench201"], {"numpy"}),
        (["tables", "show", str(DATA / "table-v2.parquet")], {"numpy", "pyarrow"}),
    ],
)
def test_a_command_loads_what_it_uses(words, loaded, tmp_path):
    assert loaded_after([words], tmp_path, 0) == loaded


def test_a_space_or_strategy_that_is_not_known_costs_numpy_at_most(tmp_path):
    wrong = [
        ["profile-ops", "--space", "portrai"],
        ["profile-ops", "--space", "portrait:resolutoin=3"],
        ["search", "--strategy", "evolutoin"],
        ["search", "--predictor", "gone"],
    ]
    assert loaded_after(wrong, tmp_path, 2) <= {"numpy"}
