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
    ["search", "--strategy", "evolutoin"],
    ["search", "--predictor", "gone"],
    ["predictor", "adapt", "--predictor", "gone"],
    ["tables", "in-network", "gone.parquet"],
    ["tables", "export", "gone.parquet", "--format", "ofaa", "--out", "lut.yaml"],
    ["tables", "list", "--device", "xeon"],
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


def test_a_space_that_is_not_known_costs_numpy_at_most(tmp_path):
    wrong = [
        ["profile-ops", "--space", "portrai"],
        ["profile-ops", "--space", "portrait:resolutoin=3"],
    ]
    assert loaded_after(wrong, tmp_path, 2) <= {"numpy"}


def test_without_torch_tables_are_shown_and_the_rest_says_what_to_install(tmp_path):
    program = f"""
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, NoTorch())
from latlas import cli
assert cli.run(["tables", "show", {str(DATA / "table-v2.parquet")!r}]) == 0
assert cli.run(["profile-ops", "--space", "nasbench201", "--out", "t.parquet"]) == 2
assert cli.run(["train-supernet", "--out", "s.safetensors"]) == 2
assert cli.run(["measure", "portrait/mobilenetv3_small"]) == 2
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [
        line.partition(" needs torch, which is not installed: pip install 'torch>=")
        for line in done.stderr.splitlines()
    ]
    assert [line[0] for line in lines if line[1]] == [
        "error: profile-ops",
        "error: train-supernet",
        "error: measure of architectures",
    ]
    assert list(tmp_path.iterdir()) == []
