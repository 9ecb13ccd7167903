import os
from pathlib import Path

import pytest

from latlas.errors import UsageError
from latlas.files.places import require_can_write, require_file


@pytest.mark.parametrize("path", ["t.parquet", "new/deeper/t.parquet", "there", "there/t.parquet", "old.parquet"])
def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "old.parquet").touch()
    require_can_write(tmp_path / path)
    require_can_write(Path(path))  # relative too
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["old.parquet", "there"]


def test_a_folder_inside_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"^cannot write .*file/new/t.parquet: Not a directory; choose another path$"):
        require_can_write(tmp_path / "file" / "new" / "t.parquet")


def test_a_folder_that_cannot_be_made_is_refused():
    with pytest.raises(UsageError, match=r"^cannot write /proc/latlas/t.parquet: .*; choose another path$"):
        require_can_write(Path("/proc/latlas/t.parquet"))


def test_a_name_too_long_is_refused(tmp_path):
    with pytest.raises(UsageError, match="File name too long"):
        require_can_write(tmp_path / ("x" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="Permission denied"):
        require_can_write(tmp_path / "t.parquet")


def test_a_file_to_read(tmp_path):
    (tmp_path / "t.csv").touch()
    require_file(tmp_path / "t.csv")
    with pytest.raises(UsageError, match=r"gone.csv: no such file; give another$"):
        require_file(tmp_path / "gone.csv", "give another")
    with pytest.raises(UsageError, match=r"a folder, not a file$"):
        require_file(tmp_path)
