import os

from latlas.files.listing import files_below


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    for name in ("b/x.parquet", "a.parquet", ".a.parquet.123.tmp/.a.parquet", ".half.parquet", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert files_below(tmp_path, ".parquet") == [tmp_path / "a.parquet", tmp_path / "b" / "x.parquet"]
    assert files_below(tmp_path / "gone", ".parquet") == []


def test_a_folder_that_vanishes_meanwhile_is_passed_over(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    (tmp_path / "kept.parquet").touch()
    scandir = os.scandir

    def scan(path):
        if os.path.basename(path) == "gone":
            os.rmdir(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert files_below(tmp_path, ".parquet") == [tmp_path / "kept.parquet"]
    assert not (tmp_path / "gone").exists()
