"""Whatever is written is whole or not there: disks that fill up, interrupts, names that are taken, modes."""

import ast
import errno
import os
import resource
import stat

import pytest

from latlas.errors import AlreadyExistsError, StorageError, UsageError
from latlas.files.write import (
    cannot_write,
    leftovers,
    remove_leftovers,
    whole_file,
    whole_folder,
    write_bytes,
    write_json,
    write_text,
)
from tests.test_packaging import ROOT, source_files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def umask():
    """The umask of most systems, whatever this one's is."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


class TestFile:
    def test_bytes_text_and_json(self, tmp_path):
        write_bytes(tmp_path / "runs" / "b", b"\x00\r\n")
        write_text(tmp_path / "t", "é\r\n")
        write_json(tmp_path / "j", {"a": [1, 2.5, None]})
        assert (tmp_path / "runs" / "b").read_bytes() == b"\x00\r\n"
        assert (tmp_path / "t").read_bytes() == b"\xc3\xa9\r\n"
        assert (tmp_path / "j").read_text() == '{\n "a": [\n  1,\n  2.5,\n  null\n ]\n}\n'
        assert names(tmp_path) == ["j", "runs", "t"]

    def test_what_is_there_is_replaced_only_when_asked(self, tmp_path):
        path = tmp_path / "a"
        write_text(path, "first")
        with pytest.raises(AlreadyExistsError, match=r"a exists already; choose another path, or say --force"):
            write_text(path, "second")
        assert path.read_text() == "first"
        write_text(path, "second", overwrite=True)
        assert path.read_text() == "second"
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        with pytest.raises(FileExistsError):  # it is one of these too
            write_text(tmp_path / "link", "through it")
        assert names(tmp_path) == ["a", "link"]

    def test_a_file_that_came_meanwhile_is_not_replaced(self, tmp_path):
        path = tmp_path / "a"

        def both():
            with whole_file(path) as draft:
                draft.write_text("ours")
                path.write_text("theirs")

        with pytest.raises(AlreadyExistsError, match="came while it was written"):
            both()
        assert path.read_text() == "theirs" and names(tmp_path) == ["a"]

    def test_where_there_are_no_hard_links_a_file_is_written_too(self, tmp_path, monkeypatch):
        def link(source, target):
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", link)
        write_text(tmp_path / "a", "text")
        assert (tmp_path / "a").read_text() == "text" and names(tmp_path) == ["a"]

    @pytest.mark.parametrize("problem", [KeyboardInterrupt(), ValueError("x"), OSError(errno.ENOSPC, "full")])
    @pytest.mark.parametrize("before", [None, "old"])
    def test_whatever_ends_the_writing_leaves_what_was(self, tmp_path, problem, before):
        path = tmp_path / "a"
        if before:
            path.write_text(before)

        def interrupted():
            with whole_file(path, overwrite=True) as draft:
                draft.write_text("half")
                raise problem

        with pytest.raises(StorageError if isinstance(problem, OSError) else type(problem)):
            interrupted()
        assert names(tmp_path) == (["a"] if before else [])
        assert not before or path.read_text() == before

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_a_disk_that_fills_up_at_the_end(self, tmp_path, monkeypatch, step):
        def full(*arguments):
            raise OSError(errno.ENOSPC, "No space left on device")

        write_text(tmp_path / "a", "old")
        monkeypatch.setattr(os, step, full)
        with pytest.raises(StorageError, match=r"cannot write .*a: No space left on device; free some space"):
            write_text(tmp_path / "a", "new", overwrite=True)
        assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == ["a"]

    def test_a_file_beyond_the_limit(self, tmp_path):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            with pytest.raises(StorageError, match=r"cannot write .*a: File too large; free some space"):
                write_bytes(tmp_path / "a", bytes(2000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert names(tmp_path) == []

    def test_all_is_on_the_disk_before_it_has_its_name(self, tmp_path, monkeypatch):
        done = []
        fsync, replace = os.fsync, os.replace
        monkeypatch.setattr(
            os, "fsync", lambda fd: (done.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))), fsync(fd))[1]
        )
        monkeypatch.setattr(os, "replace", lambda a, b: (done.append(f"named {b.name}"), replace(a, b))[1])
        with whole_file(tmp_path / "a.xml", overwrite=True) as draft:
            assert draft.suffix == ".xml"
            draft.write_text("graph")
            draft.with_suffix(".bin").write_bytes(b"weights")
        assert done == [".a.bin", "named a.bin", ".a.xml", "named a.xml", tmp_path.name]
        assert (tmp_path / "a.bin").read_bytes() == b"weights" and names(tmp_path) == ["a.bin", "a.xml"]

    def test_a_draft_is_found_by_no_search_for_its_ending(self, tmp_path):
        with whole_file(tmp_path / "a.parquet") as draft:
            draft.write_bytes(b"half")
            assert [path.name for path in tmp_path.rglob("*.parquet") if not path.name.startswith(".")] == []

    def test_modes(self, tmp_path, umask):
        def private(path, overwrite=False):
            with whole_file(path, overwrite) as draft:
                draft.touch(0o600)  # as safetensors does

        private(tmp_path / "new")
        assert mode(tmp_path / "new") == 0o644
        (tmp_path / "new").chmod(0o664)
        private(tmp_path / "new", overwrite=True)
        assert mode(tmp_path / "new") == 0o664
        os.umask(0o002)
        private(tmp_path / "shared")
        assert mode(tmp_path / "shared") == 0o664

    def test_places_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("")
        (tmp_path / "folder").mkdir()
        for path in (tmp_path / "file" / "a", tmp_path / "folder", tmp_path / ("long" * 100)):
            with pytest.raises(UsageError, match=r"cannot write .*; choose another path"):
                write_text(path, "", overwrite=True)
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UsageError, match=r"pipe: it exists and is no file"):
            write_text(tmp_path / "pipe", "", overwrite=True)
        assert names(tmp_path) == ["file", "folder", "pipe"]


class TestFolder:
    def written(self, folder, text="new", overwrite=False, problem=None):
        with whole_folder(folder, overwrite) as draft:
            (draft / text).write_text(text)
            if problem is not None:
                raise problem

    def test_written_and_replaced(self, tmp_path, umask):
        folder = tmp_path / "runs" / "p"
        self.written(folder, "old")
        assert names(folder) == ["old"] and mode(folder) == 0o755
        with pytest.raises(AlreadyExistsError, match="p exists already"):
            self.written(folder)
        folder.chmod(0o775)
        self.written(folder, overwrite=True)
        assert names(folder) == ["new"] and mode(folder) == 0o775
        assert names(folder.parent) == ["p"]

    @pytest.mark.parametrize("problem", [KeyboardInterrupt(), OSError(errno.EDQUOT, "quota")])
    def test_whatever_ends_the_writing_leaves_what_was(self, tmp_path, problem):
        self.written(tmp_path / "p", "old")
        with pytest.raises((KeyboardInterrupt, StorageError)):
            self.written(tmp_path / "p", overwrite=True, problem=problem)
        with pytest.raises((KeyboardInterrupt, StorageError)):
            self.written(tmp_path / "q", problem=problem)
        assert names(tmp_path) == ["p"] and names(tmp_path / "p") == ["old"]

    @pytest.mark.parametrize("after", [False, True])
    def test_an_interrupt_between_the_two_renames_brings_the_old_one_back(self, tmp_path, monkeypatch, after):
        self.written(tmp_path / "p", "old")
        rename = os.rename

        def interrupted(source, target):
            if source.name == "p":
                rename(source, target)
            elif not (tmp_path / "p").exists() and source.name == "old":
                return rename(source, target)
            if (source.name == "new") == after:
                raise KeyboardInterrupt

        monkeypatch.setattr(os, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            self.written(tmp_path / "p", overwrite=True)
        assert names(tmp_path) == ["p"] and names(tmp_path / "p") == ["old"]

    def test_a_file_is_no_folder(self, tmp_path):
        (tmp_path / "p").write_text("mine")
        with pytest.raises(UsageError, match="p: it exists and is no folder"):
            self.written(tmp_path / "p", overwrite=True)
        assert (tmp_path / "p").read_text() == "mine"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError(errno.ENOSPC, "x"), StorageError, "No space left on device; free some space, or choose another path"),
        (OSError(errno.EIO, "x"), StorageError, "Input/output error; free some space, or choose another path"),
        (PermissionError(errno.EACCES, "x"), UsageError, "Permission denied; choose another path"),
        (OSError(errno.EROFS, "x"), UsageError, "Read-only file system; choose another path"),
        (RuntimeError("I/O error: No space (os error 28)"), StorageError, "No space left on device; free some space"),
        (RuntimeError("basic_ios::clear:\niostream error"), StorageError, "clear: iostream error; is its disk full"),
    ],
)
def test_one_error_for_what_the_system_says(error, kind, message):
    found = cannot_write("a/b", error)
    assert type(found) is kind and message in str(found) and str(found).startswith("cannot write a/b: ")


def test_leftovers_of_killed_runs(tmp_path):
    mine, theirs = tmp_path / ".t.parquet.x1.tmp", tmp_path / ".u.parquet.x2.tmp"
    for folder in (mine, theirs):
        folder.mkdir()
        (folder / ".t.parquet").write_text("half")
    (tmp_path / ".t.parquet.x0.tmp").write_text("of version 0.2")
    (tmp_path / ".t.parquet.notes").write_text("no draft")
    assert [path.name for path in leftovers(tmp_path / "t.parquet")] == [".t.parquet.x0.tmp", ".t.parquet.x1.tmp"]
    remove_leftovers(tmp_path / "t.parquet")
    assert names(tmp_path) == [".t.parquet.notes", ".u.parquet.x2.tmp"]
    remove_leftovers(tmp_path / "nowhere" / "t.parquet")


# Nothing else writes

WRITERS = {"write_text", "write_bytes"}
OF_OS = {"replace", "rename", "renames", "link", "symlink"}
ALLOWED = {
    "files/write.py": "the writer",
    "files/lock.py": "the note of who holds the lock, which is written in place",
    "files/places.py": "an empty folder that shows whether a place can be written, gone at once",
    "files/scratch.py": "folders that are gone when the command ends",
    "latency/measuring/worker.py": "the pipe to the process that started it",
}


def writes(tree):
    """What a module calls that writes a file, by the line, but for what stands in a `with whole_file(...)` or `whole_folder`."""
    found = []

    def visit(node, drafted):
        if isinstance(node, ast.With):
            drafted = drafted or any("whole_fi" in ast.unparse(i) or "whole_fo" in ast.unparse(i) for i in node.items)
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            last = name.rpartition(".")[2]
            text = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            opens = last in ("open", "fdopen") and any(set(one) & set("wax+") and len(one) <= 3 for one in text)
            of_path = last in ("replace", "rename") and len(node.args) == 1 and not node.keywords
            calls = name in {f"os.{one}" for one in OF_OS} or name.startswith(("tempfile.", "NamedTemp"))
            if (
                (calls or opens or of_path or last in WRITERS)
                and not drafted
                and isinstance(node.func, ast.Attribute | ast.Name)
            ):
                found.append((node.lineno, name))
        for child in ast.iter_child_nodes(node):
            visit(child, drafted)

    visit(tree, False)
    return found


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_else_writes(path):
    tree = ast.parse(path.read_text())
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "latlas.files.write"
        for alias in node.names
    }
    found = [(line, name) for line, name in writes(tree) if name not in imported]
    assert found == [] or path.relative_to(ROOT).as_posix() in ALLOWED


def test_another_writer_would_be_seen():
    source = (
        "os.replace(a, b)\npath.write_text('x')\nopen(p, 'w')\npath.open('wb')\ntempfile.mkstemp()\na.rename(b)\n"
        "open(p, 'rb')\ntext.replace('a', 'b')\nreplace(row, size=1)\n"
        "with whole_file(path) as draft:\n    draft.write_text('x')\n"
    )
    assert [line for line, _ in writes(ast.parse(source))] == [1, 2, 3, 4, 5, 6]


def test_the_allowed_are_there():
    assert all(writes(ast.parse((ROOT / name).read_text())) for name in ALLOWED)
