"""`latlas tables`: what it prints and how it ends."""

import errno
import io
import json
import os
import re
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from latlas import cli
from latlas.commands.grid import grid_lines
from latlas.errors import UsageError
from latlas.latency.machine.environment import MachineState
from latlas.latency.table.manifest import InNetwork
from latlas.latency.table.merge import merge
from latlas.latency.table.row import COUNTS, NUMBERS, Row
from latlas.latency.table.table import Manifest, Table
from latlas.spaces.operators.spec import OpSpec
from tests.machines import I7

ENVIRONMENT = replace(
    I7,
    cpu_flags="avx2 fma",
    openvino_build="2026.4.1-1-abc",
    reference_id="operator-2",
    reference_ms=2.0,
    latlas_version="0.2.0",
    state=MachineState(),
)
MANIFEST = Manifest(
    environment=ENVIRONMENT,
    reference="r",
    space="portrait:height=64",
    command="latlas profile-ops",
    seed=0,
    noise_floor=0.01,
    created_at="2026-01-02T03:10:00+00:00",
    tool_version="0.2.0",
)
STEM = OpSpec("conv", 3, 16, 128, 128, 2, 3, activation="relu")
SEPS = [OpSpec("sepconv", c, c, s, s, kernel_size=3) for c, s in ((16, 64), (24, 32), (40, 16))]
SHUFFLES = [OpSpec("shuffle", c, c, s, s) for c, s in ((16, 64), (24, 32), (40, 16))]
NARROW, WIDE = (OpSpec("mbconv", 24, 24, 32, 32, 1, 3, hidden_channels=hidden) for hidden in (48, 144))
WIDER = OpSpec("mbconv", 16, 16, 64, 64, 1, 3, hidden_channels=96)


@dataclass(frozen=True)
class Done:
    """A finished command: exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def record(self) -> Any:
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def tables(*words):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.run(["tables", *map(str, words)])
    return Done(code, out.getvalue(), err.getvalue())


def row(spec, latency_ms=1.0, width=0.01, reference_ms=2.0, **fields):
    times = latency_ms, latency_ms * (1 - width), latency_ms * (1 + width)
    ratios = [value / reference_ms for value in times]
    numbers = (*times, *ratios, times[1], latency_ms, times[2])
    return Row(spec=spec, **dict(zip(NUMBERS, numbers, strict=True)), **dict.fromkeys(COUNTS, 40), **fields)


def imported(spec, latency_ms):
    numbers = dict.fromkeys(NUMBERS) | {"latency_ms": latency_ms}
    return Row(spec=spec, **numbers, **dict.fromkeys(COUNTS, 0), origin="imported")


ROWS = (
    row(STEM, 0.5),
    *(row(spec, latency) for spec, latency in zip(SEPS, (1.0, 0.6, 0.1), strict=True)),
    row(SHUFFLES[0], 0.8, status="noisy", reason="3 s"),
    Row.failed(SHUFFLES[1], "compiling hung"),
    *(row(WIDE, 1.2), row(NARROW, 0.9), row(WIDER, 2.0)),
)
TABLE = Table(ROWS, MANIFEST)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    TABLE.write("t.parquet")
    return tmp_path


def lines_of(table, width=80, colour=None, value="isolated"):
    console = Console(file=io.StringIO(), width=width, color_system=colour, force_terminal=colour is not None)
    return grid_lines(table, value, console)


class TestShow:
    def test_the_grid(self):
        assert lines_of(TABLE) == [
            "isolated latency, ms; ~ noisy, × failed, · not in the table",
            "",
            "            64x64  32x32",
            "           16->16 24->24",
            "mbconv_k3   2.000  1.200",
            "sepconv_k3  1.000  0.600",
            "shuffle    ~0.800      ×",
            "",
            "the only one at its place, or another variant of one above:",
            "     0.500  conv_k3 3->16 s2 at 128x128 (relu)",
            "     0.900  mbconv_k3 24->24 at 32x32 (hidden 48)",
            "     0.100  sepconv_k3 40->40 at 16x16",
        ]

    def test_operators_of_cells_by_their_rates(self):
        specs = [OpSpec("atrous", 16, 8, 4, 4, kernel_size=3, label=label) for label in ("6x21", "1x1", "21x6")]
        specs += [OpSpec("pyramid", 16, 8, 4, 4, label="2x4"), OpSpec("concat", 8, 16, 4, 4)]
        text = lines_of(Table(tuple(row(spec) for spec in specs), MANIFEST))
        assert [line.split("  ")[0].rstrip() for line in text[4:8]] == [
            *("atrous_k3 1x1", "atrous_k3 21x6", "atrous_k3 6x21"),
            "pyramid 2x4",
        ]
        assert text[-1].endswith("concat 8->16 at 4x4")

    def test_missing_and_strides(self):
        specs = [OpSpec(kind, 16, 24, 64, 64, 2) for kind in ("sepconv", "dilconv")]
        table = Table((*ROWS, *(row(spec) for spec in specs)), MANIFEST)
        text = lines_of(table)
        assert text[4].split() == ["s2"]
        (shuffle,) = [line for line in text if line.startswith("shuffle")]
        assert shuffle.split() == ["shuffle", "~0.800", "·", "×"]

    def test_columns_that_do_not_fit_are_a_block_below(self):
        wide, narrow = lines_of(TABLE, 80), lines_of(TABLE, 20)
        assert all(len(line) <= 20 for line in narrow[1:11])
        assert [line.split()[0] for line in narrow if re.search("x", line) and "->" not in line][:2] == [
            "64x64",
            "32x32",
        ]
        assert {word for line in wide for word in line.split()} <= {word for line in narrow for word in line.split()}

    def test_colours_go_from_green_to_red_within_a_column(self):
        text = "\n".join(lines_of(TABLE, colour="truecolor"))
        assert "green to red from the fastest to the slowest of a column" in text
        styles = dict(re.findall(r"\x1b\[38;2;0;0;0;48;2;([\d;]+)m~?([\d.]+)\x1b", text))
        styles = {number: colour for colour, number in re.findall(r"48;2;([\d;]+)m~?([\d.]+)\x1b", text)}
        assert styles["0.800"] == styles["0.600"] == "87;187;108"
        assert styles["2.000"] == styles["1.200"] == "235;110;90"
        assert styles["1.000"] not in (styles["0.800"], styles["2.000"])

    def test_no_colours_in_a_pipe(self):
        assert "\x1b" not in tables("show", "t.parquet").out

    def test_colours_on_a_terminal_and_not_with_no_color(self, monkeypatch):
        from latlas.commands.grid import console_of

        class Terminal(io.StringIO):
            def isatty(self):
                return True

        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "100")
        with redirect_stdout(Terminal()):
            coloured = console_of()
            monkeypatch.setenv("NO_COLOR", "1")
            plain = console_of()
        assert coloured.width == 100
        assert "48;" in "\n".join(grid_lines(TABLE, "isolated", coloured))
        assert "48;" not in "\n".join(grid_lines(TABLE, "isolated", plain))

    def test_values(self):
        shown = tables("show", "t.parquet", "--value", "ratio").out
        assert re.search(r"sepconv_k3 +0.500 +0.300", shown)
        done = tables("show", "t.parquet", "--value", "in-network")
        assert (done.code, done.out) == (2, "")
        assert "has no in-network values" in done.err
        network = InNetwork(subnets=90, reference_id="net-1", reference_ms=5.0, fixed_ms=0.1, error=0.021, seed=0)
        rows = (replace(ROWS[1], in_network_ms=0.0, in_network_se_ms=0.0), *ROWS[:1], *ROWS[2:])
        Table(rows, replace(MANIFEST, in_network=network)).write("n.parquet")
        shown = tables("show", "n.parquet", "--value", "in-network").out
        assert "from 90 subnets against net-1 (5.0000 ms)" in shown and "off by 2.10 % on others" in shown
        assert re.search(r"sepconv_k3 +0 +-", shown)
        assert tables("show", "t.parquet", "--value", "nosuch").code == 2
        with pytest.raises(UsageError, match="nosuch"):
            lines_of(TABLE, value="nosuch")

    def test_head(self):
        text = tables("show", "t.parquet").out
        for part in (
            "t.parquet: portrait:height=64, 9 operators (7 ok, 1 noisy, 1 failed)",
            "Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz (intel-core-i7-8700), OpenVINO 2026.4.1",
            "f32, 1 thread(s), 1 stream(s), batch 1",
            "operator-2, 2.0000 ms; noise floor 1.00 %",
            "measured; latlas 0.2.0, 2026-01-02T03:10:00+00:00",
            "command    latlas profile-ops",
        ):
            assert part in text

    def test_rows(self):
        text = tables("show", "t.parquet", "--rows").out.splitlines()
        rows = text[text.index("") + 1 :]
        assert len(rows) == len(TABLE)
        assert " 0.5000 ms [0.4950, 0.5050] +- 1.0 %  conv_k3 3->16 s2 at 128x128 (relu)" in rows
        assert "    failed  shuffle 24->24 at 32x32: compiling hung" in rows

    def test_json_is_all_of_it(self):
        record = tables("show", "t.parquet", "--json").record
        assert record["rows"] == [one.to_record() for one in TABLE]
        assert record["manifest"] == TABLE.manifest.to_record()
        assert (record["counts"], record["unknown"]) == ({"ok": 7, "noisy": 1, "failed": 1}, [])

    def test_an_imported_table(self):
        rows = [
            imported(OpSpec("foreign", 16, 16, size, size, label=label), latency)
            for size in (56, 28)
            for label, latency in (("ir_k3_e6", 2.0), ("[red]skip", 1.0), ("x" * 60, 3.0))
        ]
        unknown = replace(ENVIRONMENT, threads=None, reference_ms=None, precision="unknown", reference_id="unknown")
        foreign = Table(
            tuple(rows), replace(MANIFEST, environment=unknown, origin="imported", source="FBNet", noise_floor=None)
        )
        foreign.write("f.parquet")
        done = tables("show", "f.parquet")
        assert done.code == 0, done.err
        assert "origin     imported, not measured by Latlas; latlas 0.2.0" in done.out
        assert "unknown of its environment: threads, precision, reference_id, reference_ms\n" in done.out
        assert "unknown thread(s)" in done.out and "source     FBNet" in done.out
        assert re.search(r"ir_k3_e6 +2.00 +2.00\n", done.out)
        assert re.search(r"\[red\]skip +1.00 +1.00\n", done.out)
        assert "x" * 38 + ".. " in done.out
        assert "no interval" in tables("show", "f.parquet", "--rows").out

    def test_names_of_another_project_are_one_line_for_all_places(self):
        rows = [
            imported(
                OpSpec("foreign", 24, 24, s, s, label=f"MBConv-input:{s}x{s}x24-output:{s}x{s}x24-expand:{e}-stride:1"),
                e,
            )
            for s in (56, 28)
            for e in (3, 6)
        ]
        lines = lines_of(Table(tuple(rows), replace(MANIFEST, origin="imported")))
        assert lines[4:] == ["MBConv-expand:3   3.00   3.00", "MBConv-expand:6   6.00   6.00"]

    def test_an_empty_table(self):
        Table((), MANIFEST).write("e.parquet")
        assert tables("show", "e.parquet").code == 0

    def test_a_merged_table_says_of_what(self):
        other = Table(ROWS[:1], replace(MANIFEST, command="latlas profile-ops --threads 1"))
        merge((TABLE, other)).write("m.parquet")
        assert len(re.findall(r"rows [0-9a-f]{64} of 2026", tables("show", "m.parquet").out)) == 2


class TestList:
    def test_broken_files_are_listed_and_do_not_stop_it(self, folder):
        (folder / "a.parquet").write_bytes((folder / "t.parquet").read_bytes()[:-9])
        (folder / ".t.parquet.x.parquet").write_bytes(b"")
        done = tables("list", ".", "--json")
        assert done.code == 3
        assert [(one["table"], one["valid"]) for one in done.record] == [("a.parquet", False), ("t.parquet", True)]
        assert done.err == "error: not tables, 1 of the files: a.parquet\n"
        text = tables("list", ".").out.splitlines()
        assert text[0].startswith("not a table: a.parquet is not a readable Parquet file")
        assert text[1].startswith("t.parquet: portrait:height=64, 9 operators, 1 noisy, 1 failed, Intel(R) Core")

    @pytest.mark.parametrize(
        ("words", "count"),
        [
            ([], 2),
            (["--cpu", "i7-8700"], 2),
            (["--cpu", "intel-core"], 2),
            (["--cpu", "xeon"], 0),
            (["--space", "portrait"], 2),
            (["--space", "portrait:height=64"], 2),
            (["--space", "port"], 0),
            (["--precision", "bf16"], 1),
            (["--threads", "1"], 1),
            (["--precision", "f32", "--threads", "2"], 0),
        ],
    )
    def test_filters(self, words, count):
        environment = replace(ENVIRONMENT, precision="bf16", threads=2)
        Table(ROWS, replace(MANIFEST, environment=environment)).write("b.parquet")
        assert len(tables("list", ".", *words, "--json").record) == count

    def test_none(self):
        done = tables("list", ".", "--precision", "int8")
        assert (done.code, done.out) == (0, ".: no such table\n")


class TestValidate:
    def test_warnings_and_strict(self, folder):
        (folder / "t.parquet.journal").touch()
        done = tables("validate", "t.parquet")
        assert done.code == 0
        assert re.match(r"t.parquet: valid, 9 operators\n  warning, journal: t.parquet.journal is there", done.out)
        done = tables("validate", "t.parquet", "--strict", "--json")
        assert done.code == 1
        assert [one["rule"] for one in done.record[0]["warnings"]] == ["journal"]
        assert done.err == "error: 1 of 1 tables have warnings: t.parquet\n"

    def test_a_folder(self):
        TABLE.write("sub/u.parquet")
        assert [one["table"] for one in tables("validate", ".", "--json").record] == ["sub/u.parquet", "t.parquet"]
        assert tables("validate", ".", "--strict").code == 0
        Path("none").mkdir()
        assert tables("validate", "none").code == 2

    def test_one_broken_table_is_one_line_or_json(self, folder):
        (folder / "t.parquet").write_bytes(b"PAR1")
        done = tables("validate", "t.parquet")
        assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
        done = tables("validate", "t.parquet", "--json")
        assert (done.code, done.record[0]["valid"]) == (3, False)


class TestDiff:
    @pytest.fixture(autouse=True)
    def _after(self, folder):
        rows = [
            row(STEM, 1.0),
            *(row(spec, latency) for spec, latency in zip(SEPS[:2], (1.0, 0.3), strict=True)),
            row(SHUFFLES[1], 1.0),
            *(row(WIDE, 1.2), row(NARROW, 0.9), row(WIDER, 0.5), row(SHUFFLES[2], 0.1)),
        ]
        environment = replace(ENVIRONMENT, openvino_version="2026.5.0")
        Table(tuple(rows), replace(MANIFEST, environment=environment)).write("u.parquet")

    def test_for_people(self):
        done = tables("diff", "t.parquet", "u.parquet", "--ranks")
        assert done.code == 1
        assert done.out.splitlines() == [
            "before t.parquet",
            "after  u.parquet",
            "openvino_version: 2026.4.1 -> 2026.5.0",
            "compared by milliseconds, into which the machine's speed of each session goes; intervals of 95 %",
            "3 of 6 operators changed beyond both intervals: 1 slower, 2 faster; "
            "by chance about 0.03 would, if the intervals hold",
            "geometric mean of all 6 ratios: 0.794",
            "",
            "  ratio  [interval]         before ms   after ms  operator",
            "  0.250  [0.245, 0.255]       2.0000     0.5000  mbconv_k3 16->16 at 64x64 (hidden 96)",
            "  2.000  [1.960, 2.040]       0.5000     1.0000  conv_k3 3->16 s2 at 128x128 (relu)",
            "  0.500  [0.490, 0.510]       0.6000     0.3000  sepconv_k3 24->24 at 32x32",
            "",
            "in the first only (2):",
            "  sepconv_k3 40->40 at 16x16",
            "  shuffle 16->16 at 64x64",
            "",
            "in the second only (1):",
            "  shuffle 40->40 at 16x16",
            "",
            "failed in one or both (1):",
            "  shuffle 24->24 at 32x32",
            "",
            "places where another operator is the fastest: 1 of 2; pairs that change rank beyond both intervals: 1",
            "  16->16 at 64x64: sepconv_k3 -> mbconv_k3",
            "    sepconv_k3 16->16 at 64x64 was 2.00 times as fast as mbconv_k3 16->16 at 64x64 (hidden 96), "
            "which now is 2.00 times as fast",
            "  24->24 at 32x32: sepconv_k3 -> sepconv_k3",
        ]

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            ([], 1),
            (["--fail-on", "slower"], 1),
            (["--fail-on", "faster"], 1),
            (["--fail-on", "none"], 0),
            (["--fail-on", "slower", "--threshold", "2.1"], 0),
            (["--fail-on", "faster", "--threshold", "2.1"], 1),
            (["--threshold", "4.1"], 0),
            (["--threshold", "0.5"], 2),
            (["--confidence", "2"], 2),
            (["--fail-on", "nosuch"], 2),
            (["--markdown", "--json"], 2),
            (["--bonferroni"], 1),
        ],
    )
    def test_exit_code(self, words, code):
        assert tables("diff", "t.parquet", "u.parquet", *words).code == code

    def test_json(self):
        record = tables("diff", "t.parquet", "u.parquet", "--json", "--ranks", "--threshold", "1.05").record
        assert record["differing"] == {"openvino_version": ["2026.4.1", "2026.5.0"]}
        assert (record["changed"], record["slower"], record["faster"], record["compared"]) == (3, 1, 2, 6)
        assert [one["ratio"] for one in record["changes"]] == pytest.approx([0.25, 2, 0.5])
        assert OpSpec.from_record(record["changes"][1]["spec"]) == STEM
        assert record["ranks"][0]["reversals"][0]["after_ratio"] == pytest.approx(2)
        assert record["failed"] == [str(SHUFFLES[1])]

    def test_markdown_is_safe(self):
        label = "a|b <img src=x> `c` [d](e)"
        rows = [imported(OpSpec("foreign", 8, 8, 8, 8, label=label), latency) for latency in (1.0, 2.0)]
        for name, one in zip(("x", "y"), rows, strict=True):
            Table((one,), replace(MANIFEST, origin="imported")).write(f"{name}.parquet")
        done = tables("diff", "x.parquet", "y.parquet", "--markdown")
        assert done.code == 0
        assert "without an interval, so that no change is beyond it (1)" in done.out
        assert "foreign a\\|b &lt;img src=x> \\`c\\` \\[d\\](e) 8->8 at 8x8" in done.out
        shown = tables("diff", "t.parquet", "u.parquet", "--markdown", "--ranks").out
        assert "| 2.000 | 1.960 to 2.040 | 0.5000 | 1.0000 | conv\\_k3 3->16 s2 at 128x128 (relu) |" in shown
        assert (
            "| 16->16 at 64x64 | sepconv\\_k3 16->16 at 64x64 | mbconv\\_k3 16->16 at 64x64 (hidden 96) | 1 |" in shown
        )


class TestMerge:
    def test_any_number_in_any_order(self):
        for name, part in (("a", ROWS[:4]), ("b", ROWS[3:6]), ("c", ROWS[5:])):
            Table(part, replace(MANIFEST, command=name)).write(f"{name}.parquet")
        done = tables("merge", "a.parquet", "b.parquet", "c.parquet", "--out", "abc.parquet", "--json")
        assert done.code == 0, done.err
        assert (done.record["entries"], len(done.record["parts"])) == (len(ROWS), 3)
        assert tables("merge", "c.parquet", "a.parquet", "b.parquet", "--out", "cab.parquet").code == 0
        assert Path("abc.parquet").read_bytes() == Path("cab.parquet").read_bytes()
        assert Table.read("abc.parquet").rows == TABLE.rows

    def test_conflicts_are_listed_and_nothing_is_written(self):
        Table((row(STEM, 1.0), row(SEPS[0], 1.0)), MANIFEST).write("u.parquet")
        done = tables("merge", "t.parquet", "u.parquet", "--out", "both.parquet", "--conflicts", "c.json")
        assert done.code == 1
        assert "1 operators disagree" in done.err and "all are in c.json" in done.err
        assert not Path("both.parquet").exists()
        (conflict,) = json.loads(Path("c.json").read_text())
        assert (conflict["first"]["table"], conflict["first"]["latency_ms"]) == ("t.parquet", 0.5)
        assert (conflict["second"]["table"], conflict["second"]["latency_ms"]) == ("u.parquet", 1.0)
        record = tables("merge", "t.parquet", "u.parquet", "--out", "both.parquet", "--json").record
        assert [one["ratio"] for one in record["conflicts"]] == [2.0]

    def test_several_spaces_are_named_where_one_is_needed(self):
        Table(ROWS[:1], replace(MANIFEST, space="portrait:height=96")).write("u.parquet")
        assert tables("merge", "t.parquet", "u.parquet", "--out", "both.parquet").code == 0
        err = io.StringIO()
        with redirect_stderr(err):
            code = cli.run(["fit-predictor", "--table", "both.parquet", "--out", "p"])
        assert code == 2
        expected = (
            "table both.parquet is merged of 2 spaces; name one with --space: portrait:height=64 + portrait:height=96"
        )
        assert expected in err.getvalue()


@pytest.mark.parametrize(
    "words",
    [
        ("merge", "t.parquet", "t.parquet", "--out", "out.parquet"),
        ("export", "t.parquet", "--format", "csv", "--out", "out.csv"),
        ("publish", "t.parquet", "--tables-dir", "published"),
    ],
    ids=lambda words: words[0],
)
def test_a_full_disk_is_not_a_usage_error(words, monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = sorted(Path().rglob("*.*"))
    monkeypatch.setattr(os, "fsync", fsync)
    done = tables(*words)
    assert (done.code, done.out) == (1, "")
    assert re.fullmatch(
        r"error: cannot write \S+: No space left on device; free some space, or choose another path\n", done.err
    )
    assert [path for path in sorted(Path().rglob("*.*")) if path not in before] == []
