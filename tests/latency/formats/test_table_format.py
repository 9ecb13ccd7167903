"""A format of another package: registered by a call, guessed by its ending and its text, read and written."""

import pytest

from latlas.errors import UsageError
from latlas.latency.formats.entry import Entry, foreign_operator, milliseconds, rows_of
from latlas.latency.formats.interchange import export_table, guess_format, import_table
from latlas.latency.formats.table_format import FORMATS, Contents, ImportOptions, TableFormat, register_format
from latlas.spaces.operators.spec import FOREIGN


def read_lut(text, path, options):
    """A line an operator: its name, and its milliseconds."""
    options.require_unset("unit", "latency_column", "activation")
    entries = []
    for line in text.splitlines()[1:]:
        name, value = line.split()
        operator = foreign_operator(name, line, in_channels=1, out_channels=1, height=1, width=1)
        entries.append(Entry(name, milliseconds(value, "ms", line), operator))
    return Contents(rows_of(entries, path), ignored={"colour"}, devices={"phone"})


def write_lut(table, pairs):
    return "#lut\n" + "".join(f"{row.spec.label} {value!r}\n" for row, value in pairs)


@pytest.fixture
def lut(monkeypatch):
    monkeypatch.setattr(FORMATS, "_things", dict(FORMATS._things))
    return register_format(
        TableFormat("lut", read_lut, write_lut, endings=(".lut",), recognises=lambda text: text.startswith("#lut"))
    )


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "some.lut"
    path.write_text("#lut\nblur 0.5\nsharpen 1.25\n")
    return path


@pytest.mark.parametrize("name", ["some.lut", "some.txt"])
def test_a_registered_format_is_read_by_its_ending_or_its_text(lut, path, name):
    path = path.rename(path.with_name(name))
    assert guess_format(path, path.read_text()) is lut
    found = import_table(path, None, ImportOptions())
    assert [(row.spec.kind, row.spec.label, row.latency_ms) for row in found.table] == [
        (FOREIGN, "blur", 0.5),
        (FOREIGN, "sharpen", 1.25),
    ]
    assert (found.format, found.ignored, found.foreign) == ("lut", ("colour",), 2)
    assert found.table.manifest.environment.cpu_model == "phone"


def test_it_is_written_and_read_again(lut, path, tmp_path):
    text, left_out = export_table(import_table(path, "lut", ImportOptions()).table, "lut")
    assert (text, left_out) == (path.read_text(), [])


def test_it_says_what_has_no_place_in_it(lut, path):
    with pytest.raises(UsageError, match="--unit has no place here"):
        import_table(path, "lut", ImportOptions(unit="s"))


def test_a_format_that_only_writes_or_only_reads_says_so(lut, path):
    register_format(TableFormat("out", write=write_lut))
    with pytest.raises(UsageError, match="--format is out; Latlas writes it, and does not read it"):
        import_table(path, "out", ImportOptions())
    table = import_table(path, "lut", ImportOptions()).table
    with pytest.raises(
        UsageError,
        match="proxyless, which Latlas reads and does not write; it must be one of ofa, fbnet, csv, lut, out",
    ):
        export_table(table, "proxyless")


def test_a_taken_name_and_a_format_that_is_none_are_refused(lut):
    with pytest.raises(UsageError, match=r"table format 'csv' is registered already, by Latlas; package .* must give"):
        register_format(TableFormat("csv", read_lut))
    with pytest.raises(UsageError, match="a TableFormat whose name is 'idle' and which reads or writes"):
        register_format(TableFormat("idle"))
