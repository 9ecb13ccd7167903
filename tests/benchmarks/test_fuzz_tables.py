"""A small run of benchmarks/fuzz_tables.py, and that it would see what it looks for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz_tables.py"


def fuzz(script, tmp_path, mutations, seed):
    command = [
        sys.executable,
        str(script),
        "--mutations",
        str(mutations),
        "--seed",
        str(seed),
        "--saved",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def test_no_mutation_is_more_than_refused(tmp_path):
    code, record = fuzz(SCRIPT, tmp_path, 200, 11)
    assert (code, record["failures"]) == (0, [])
    assert sum(record["outcomes"].values()) == 200
    assert record["outcomes"]["refused"] > 100
    assert record["children"] == 1


BROKEN = {
    "crash": "import ctypes; ctypes.string_at(0)",
    "memory": "bytearray(2**31)",
    "error": "raise KeyError('x')",
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_it_looks_for_is_seen(tmp_path, what):
    """The same script, whose reads of every fifth file do what none may."""
    code = SCRIPT.read_text(encoding="utf-8").replace(
        "    try:\n        table = Table.read(path)",
        "    try:\n        outcome.reads = getattr(outcome, 'reads', 0) + 1\n"
        f"        if outcome.reads == 7:\n            {BROKEN[what]}\n"
        "        table = Table.read(path)",
    )
    assert BROKEN[what] in code
    script = tmp_path / "broken.py"
    script.write_text(code, encoding="utf-8")
    returned, record = fuzz(script, tmp_path / "saved", 4, 3)
    assert returned == 1
    assert record["failures"][0]["number"] == 2
    assert Path(record["failures"][0]["file"]).exists()
    assert sum(record["outcomes"].values()) == 4
