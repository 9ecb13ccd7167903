import json
import os
import shutil
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from latlas.errors import FileFormatError, StorageError, UsageError
from latlas.latency.sharing.index import BEGIN, END, IndexEntry, format_index, load, parse_index
from latlas.latency.sharing.publish import check_published, publish, write_indexes
from latlas.latency.table.table import Table

ROOT = Path(__file__).parents[3]
TABLE = Table.read(ROOT / "tests" / "data" / "table-v2.parquet")
NAME = "intel-core-i7-8700/portrait-f32-t1.parquet"


def variant(**fields):
    """The table with other fields of its manifest or environment."""
    manifest, environment = TABLE.manifest, TABLE.manifest.environment
    ours = {name: value for name, value in fields.items() if hasattr(environment, name)}
    rest = {name: value for name, value in fields.items() if name not in ours}
    return Table(TABLE.rows, replace(manifest, environment=replace(environment, **ours), **rest))


def saved(folder, table=TABLE, name="t.parquet"):
    table.write(folder / name, overwrite=True)
    return folder / name


@pytest.fixture
def tables(tmp_path):
    folder = tmp_path / "tables"
    publish(saved(tmp_path), folder)
    return folder


def listed(folder):
    return [entry.path for entry in parse_index((folder / "index.json").read_bytes(), "index")]


def test_the_repositorys_own_tables_are_as_their_indexes_say():
    assert check_published(ROOT / "tables") == []


def test_table_is_copied_to_its_name_and_listed(tmp_path):
    path, folder = saved(tmp_path), tmp_path / "tables"
    copied = publish(path, folder)
    assert (copied.state, copied.place) == ("new", str(folder / NAME))
    assert (folder / NAME).read_bytes() == path.read_bytes()
    assert stat.S_IMODE((folder / NAME).stat().st_mode) & 0o044 == 0o044
    (entry,) = parse_index((folder / "index.json").read_bytes(), "index")
    assert entry == copied.entry == load(path).entry
    assert (entry.entries, entry.noisy, entry.failed, entry.noise_floor) == (3, 1, 1, 0.008)
    readme = (folder / "README.md").read_text()
    assert f"[portrait-f32-t1.parquet]({NAME})" in readme
    assert "| 3 (1 noisy, 1 failed) | 0.80 % |" in readme
    assert check_published(folder) == []
    assert sorted(file.name for file in folder.rglob("*")) == sorted(
        ["README.md", "index.json", "intel-core-i7-8700", "portrait-f32-t1.parquet"]
    )


def test_same_table_again_changes_nothing(tables, tmp_path):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tables.rglob("*") if path.is_file()}
    assert publish(tmp_path / "t.parquet", tables).state == "unchanged"
    assert publish(tables / NAME, tables).state == "unchanged"
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before}


def test_another_table_is_replaced_only_when_told(tables, tmp_path):
    other = saved(tmp_path, variant(seed=1), "other.parquet")
    before = (tables / NAME).read_bytes()
    with pytest.raises(UsageError, match=r"exists already and is another table of 2026-01-02.*say --force"):
        publish(other, tables)
    assert (tables / NAME).read_bytes() == before
    assert publish(other, tables, force=True).state == "replaced"
    assert Table.read(tables / NAME) == variant(seed=1)
    assert check_published(tables) == []


def test_broken_table_in_its_place_can_be_replaced(tables, tmp_path):
    (tables / NAME).write_bytes(b"PAR1")
    with pytest.raises(UsageError, match="say --force"):
        publish(tmp_path / "t.parquet", tables)
    assert publish(tmp_path / "t.parquet", tables, force=True).state == "replaced"
    assert check_published(tables) == []


def test_imported_table_is_published_only_when_told(tmp_path):
    rows = tuple(replace(row, origin="imported") for row in TABLE.rows)
    path = saved(tmp_path, Table(rows, replace(TABLE.manifest, origin="imported", source="a paper, CC BY 4.0")))
    with pytest.raises(UsageError, match=r"is imported .source: a paper, CC BY 4.0.*say --imported"):
        publish(path, tmp_path / "tables")
    assert not (tmp_path / "tables").exists()
    copied = publish(path, tmp_path / "tables", imported=True)
    assert copied.place.endswith("portrait-f32-t1-imported.parquet")
    assert "| imported 2026-01-02 |" in (tmp_path / "tables" / "README.md").read_text()


def test_broken_table_is_not_published(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(FileFormatError, match="is not a readable Parquet file"):
        publish(tmp_path / "t.parquet", tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def test_nothing_is_published_into_a_folder_out_of_order(tables, tmp_path):
    (tables / "stray.parquet").write_bytes((tables / NAME).read_bytes())
    other = saved(tmp_path, variant(threads=2), "t2.parquet")
    with pytest.raises(FileFormatError, match=r"stray\.parquet belongs at .*portrait-f32-t1\.parquet"):
        publish(other, tables)
    assert listed(tables) == [NAME]


def test_one_table_is_one_line_and_other_text_stays(tables, tmp_path):
    readme = tables / "README.md"
    readme.write_text(
        "# Ours\n\nAn introduction.\n\n" + readme.read_text()[readme.read_text().index(BEGIN) :] + "\nAfter.\n"
    )
    before = readme.read_text().splitlines()
    for table in (variant(threads=2), variant(precision="bf16"), variant(cpu_model="AMD EPYC 7B13")):
        publish(saved(tmp_path, table), tables)
        after = readme.read_text().splitlines()
        assert len(after) == len(before) + 1
        assert [line for line in after if line in before] == before
        before = after
    assert before[0] == "# Ours" and before[-1] == "After."
    lines = [line for line in before if ".parquet)" in line]
    assert lines == sorted(lines, key=lambda line: line.partition("](")[2])
    assert listed(tables) == sorted(listed(tables)) and len(lines) == 4


def test_text_of_a_table_is_no_markup(tmp_path):
    hostile = variant(cpu_model="a | <script>[x](http://y)`\\ b", openvino_version="**2026**")
    publish(saved(tmp_path, hostile), tmp_path / "tables")
    line = next(line for line in (tmp_path / "tables" / "README.md").read_text().splitlines() if ".parquet)" in line)
    assert r"| a \| \<script\>\[x\](http://y)\`\\ b |" in line and r"| \*\*2026\*\* |" in line
    assert line.replace(r"\|", "").count("|") == 12


def test_readme_with_one_marker_is_not_guessed_at(tables, tmp_path):
    readme = tables / "README.md"
    readme.write_text(readme.read_text().replace(END, ""))
    with pytest.raises(FileFormatError, match="has one of the two lines"):
        publish(tmp_path / "t.parquet", tables)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda folder: (folder / NAME).unlink(), "and there is no such table"),
        (lambda folder: (folder / "index.json").unlink(), "index.json is missing"),
        (lambda folder: (folder / "index.json").write_text("{"), "is not JSON"),
        (lambda folder: variant(seed=3).write(folder / NAME, overwrite=True), "is another table than"),
        (lambda folder: (folder / NAME).write_bytes(b"PAR1"), "is not a readable Parquet file"),
        (lambda folder: (folder / NAME).rename(folder / "x.parquet"), "belongs at"),
        (lambda folder: shutil.copy(folder / "index.json", folder / "README.md"), "the list of tables in"),
        (lambda folder: edit(folder / "index.json", "\n", "\n\n"), "index.json was edited"),
        (lambda folder: edit(folder / "README.md", "0.80 %", "0.10 %"), "the list of tables in"),
    ],
)
def test_what_does_not_agree_is_found(tables, spoil, problem):
    assert check_published(tables) == []
    spoil(tables)
    assert any(problem in line for line in check_published(tables)), check_published(tables)


def edit(path, old, new):
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def test_table_that_is_not_listed_is_found(tables):
    table = variant(threads=2)
    table.write(tables / "intel-core-i7-8700" / "portrait-f32-t2.parquet")
    assert any("portrait-f32-t2.parquet is not in" in line for line in check_published(tables))
    write_indexes(tables)
    assert check_published(tables) == []


def test_two_that_publish_at_once_lose_nothing(tmp_path):
    folder, errors = tmp_path / "tables", []
    paths = [saved(tmp_path, variant(threads=threads), f"{threads}.parquet") for threads in range(1, 7)]

    def work(path):
        try:
            publish(path, folder)
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(listed(folder)) == 6
    assert check_published(folder) == []


def test_full_disk_leaves_what_was(tables, tmp_path, monkeypatch):
    def fsync(descriptor):
        raise OSError(28, "No space left on device")

    path = saved(tmp_path, variant(threads=2))
    before = {file: file.read_bytes() for file in tables.rglob("*") if file.is_file()}
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match="No space left on device"):
        publish(path, tables)
    assert before == {file: file.read_bytes() for file in tables.rglob("*") if file.is_file()}


def test_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "intel-core-i7-8700").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a link that leads out of"):
        publish(saved(tmp_path), tmp_path / "tables")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_file_system_without_links_is_written_all_the_same(tmp_path, monkeypatch):
    def link(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", link)
    assert publish(saved(tmp_path), tmp_path / "tables").state == "new"
    other = saved(tmp_path, variant(seed=1), "other.parquet")
    with pytest.raises(UsageError, match="say --force"):
        publish(other, tmp_path / "tables")


# The index ------------------------------------------------------------------------------------------------------------

ENTRY = load(ROOT / "tests" / "data" / "table-v2.parquet").entry


def test_index_goes_through_json_a_line_an_entry():
    other = replace(ENTRY, path="a-cpu/portrait-f32-t1.parquet", threads=None, noise_floor=None)
    text = format_index([ENTRY, other])
    assert parse_index(text, "index") == [other, ENTRY]
    assert format_index([other, ENTRY]) == text
    assert sum('"path"' in line for line in text.splitlines()) == 2 and len(text.splitlines()) == 7
    assert parse_index(format_index([]), "index") == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": "../../etc/passwd"}, "path is '../../etc/passwd'"),
        ({"path": "/abs/x.parquet"}, "path is '/abs/x.parquet'"),
        ({"size_bytes": 10**15}, "size_bytes is 1000000000000000; it must be 0 to"),
        ({"size_bytes": -1}, "size_bytes is -1"),
        ({"size_bytes": True}, "size_bytes is True"),
        ({"sha256": "x" * 64}, "sha256 is 'xxx"),
        ({"sha256": "\x1b[31m"}, "sha256 is"),
        ({"cpu_model": "a\nb"}, "cpu_model is"),
        ({"space": ""}, "space is ''"),
        ({"noise_floor": -0.5}, "noise_floor is -0.5"),
        ({"origin": "guessed"}, "origin is 'guessed'"),
        ({"created_at": "now"}, "created_at is 'now'"),
        ({"more": 1}, "unknown fields more"),
        ({"threads": "1"}, "field threads is '1'"),
    ],
)
def test_hostile_entry_is_refused(fields, message):
    with pytest.raises(FileFormatError, match=message) as caught:
        IndexEntry.from_record({**ENTRY.to_record(), **fields})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "is not JSON"),
        ("[]", "index_version is None"),
        (json.dumps({"index_version": 2, "tables": []}), "index_version is 2; this Latlas reads 1"),
        (json.dumps({"index_version": 1, "tables": {}}), "at most 10000 tables"),
        (json.dumps({"index_version": 1, "tables": [{}] * 10_001}), "at most 10000 tables"),
        (json.dumps({"index_version": 1, "tables": [ENTRY.to_record()] * 2}), "two entries are of one path"),
    ],
)
def test_hostile_index_is_refused(text, message):
    with pytest.raises(FileFormatError, match=message):
        parse_index(text, "index")
