from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from latlas.errors import FileFormatError
from latlas.latency.sharing.names import check_table_path, is_table_path, manifest_path, table_path
from latlas.latency.table.table import Table

TABLE = Table.read(Path(__file__).parents[2] / "data" / "table-v2.parquet")
I7 = "Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (("portrait", "f32", 1), "portrait-f32-t1"),
        (("portrait", "bf16", 2, 8), "portrait-bf16-t2-b8"),
        (("portrait:height=192,width=256", "int8", 4), "portrait-height-192-width-256-int8-t4"),
        (("portrait:widths=8.8.16.16,skip=True", "f32", 1), "portrait-widths-8.8.16.16-skip-True-f32-t1"),
        (("lean + portrait", "f32", 1), "lean~and~portrait-f32-t1"),
        (("once-for-all", "f32", None, None, "imported"), "once~2d~for~2d~all-f32-tunknown-bunknown-imported"),
        (("../../etc/passwd", "f32", 1), "~2e~.~2f~..~2f~etc~2f~passwd-f32-t1"),
    ],
)
def test_names(fields, name):
    assert str(table_path(I7, *fields)) == f"intel-core-i7-8700/{name}.parquet"


def test_name_of_a_manifest():
    assert str(manifest_path(TABLE.manifest)) == "intel-core-i7-8700/portrait-f32-t1.parquet"
    batch = replace(TABLE.manifest, environment=replace(TABLE.manifest.environment, batch=4))
    assert str(manifest_path(batch)) == "intel-core-i7-8700/portrait-f32-t1-b4.parquet"


TEXT = st.text(st.sampled_from("ab1_.-:,=~+ /\\é\U0001f600"), min_size=1, max_size=300)
FIELDS = st.tuples(
    TEXT,
    st.sampled_from(["f32", "bf16", "f32-t1", "f32-t1-b2"]),
    st.one_of(st.none(), st.integers(1, 300)),
    st.one_of(st.none(), st.integers(1, 300)),
    st.sampled_from(["measured", "imported"]),
)


@given(FIELDS, FIELDS)
@example((":=,=", "f32", None, None, "measured"), ("1", "f32", None, None, "measured"))
@example((":a=b", "f32", 1, 1, "measured"), ("a:b=", "f32", 1, 1, "measured"))
def test_every_name_is_a_path_of_two_parts_and_of_one_table(one, other):
    path = table_path(I7, *one)
    assert is_table_path(str(path)) and len(path.parts) == 2 and len(path.name) < 230
    assert (path == table_path(I7, *other)) == (one == other)


@given(st.text(max_size=2000))
def test_every_cpu_is_a_folder(cpu_model):
    assert is_table_path(str(table_path(cpu_model, "portrait", "f32", 1)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/etc/passwd",
        "../x/portrait-f32-t1.parquet",
        "a/../b.parquet",
        "a/b/c.parquet",
        "a/.hidden.parquet",
        "./b.parquet",
        "a\\b.parquet",
        "c:/b.parquet",
        "a/b.parquet\n",
        "a/b.txt",
        "a/" + "b" * 300 + ".parquet",
        "http://host/b.parquet",
    ],
)
def test_other_paths_are_refused(text):
    with pytest.raises(FileFormatError, match=r"index: path is .*; it must be <device>/<name>\.parquet"):
        check_table_path(text, "index")
