"""Push and pull over a folder, fsspec's memory, http and a real S3 server, all on this machine.

gs and az are tested as far as their protocols go, with a fake file system in their places; nothing here speaks to Google or
Azure, nor to a server that does as they do.
"""

import functools
import http.server
import json
import logging
import os
import shutil
import threading
import urllib.request
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from latlas.errors import FileFormatError, LatlasError, UnreachableError, UsageError
from latlas.latency.sharing.index import load
from latlas.latency.sharing.publish import publish
from latlas.latency.sharing.pull import cache_folder, pull
from latlas.latency.sharing.push import Selection, device_of, entries_in, push
from latlas.latency.sharing.store import Store, open_store
from latlas.latency.table.parquet import MAX_FILE_BYTES
from latlas.latency.table.table import Table

DATA = Path(__file__).parents[2] / "data"
TABLE = Table.read(DATA / "table-v2.parquet")
DEVICE = "intel-core-i7-8700"
NAME = f"{DEVICE}/portrait-f32-t1.parquet"
SECRET = "fake-secret-key"


def variant(**fields):
    """The table with other fields of its manifest or environment."""
    manifest, environment = TABLE.manifest, TABLE.manifest.environment
    ours = {name: value for name, value in fields.items() if hasattr(environment, name)}
    rest = {name: value for name, value in fields.items() if name not in ours}
    return Table(TABLE.rows, replace(manifest, environment=replace(environment, **ours), **rest))


def saved(folder, table=TABLE, name=""):
    path = folder / (name or f"{uuid.uuid4().hex}.parquet")
    table.write(path, overwrite=True)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LATLAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def s3_server():
    """A real S3 server on loopback, of moto, with a bucket `team`; its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(f"{address}/team", method="PUT"), timeout=10) as answer:
        assert answer.status == 200
    yield address
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """A folder of its own in the bucket."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "fake-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return f"s3://team/{uuid.uuid4().hex}"


@pytest.fixture(params=["file", "path", "memory", "s3"])
def url(request, tmp_path):
    """A root to push to and pull from, of each kind."""
    match request.param:
        case "file":
            return f"file://{tmp_path}/store"
        case "path":
            return str(tmp_path / "store")
        case "memory":
            return f"memory://{uuid.uuid4().hex}"
    return request.getfixturevalue("s3")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, and no listing of folders."""

    def list_directory(self, path):
        self.send_error(404)

    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path):
    """A folder that is served over http, and its URL."""
    folder = tmp_path / "web"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def files_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def pulled(url, folder, *, device=DEVICE, space=None, precision=None, threads=None, **options):
    return pull(url, folder, Selection(device, space, precision, threads), **options)


# Every kind of store --------------------------------------------------------------------------------------------------


def test_what_was_pushed_is_pulled(url, tmp_path):
    path = saved(tmp_path)
    done = push(path, url)
    assert (done.state, done.entry) == ("new", load(path).entry)
    assert done.place.endswith(NAME)
    result = pulled(url, tmp_path / "out")
    (copied,) = result.tables
    assert (copied.state, copied.place, result.offline) == ("new", str(tmp_path / "out" / NAME), False)
    assert (tmp_path / "out" / NAME).read_bytes() == path.read_bytes()
    assert files_of(tmp_path / "out") == [NAME]
    assert [one.state for one in pulled(url, tmp_path / "out").tables] == ["unchanged"]
    assert push(path, url).state == "unchanged"


def test_store_holds_tables_their_entries_and_no_litter(url, tmp_path):
    push(saved(tmp_path), url)
    push(saved(tmp_path, variant(threads=2)), url)
    store = open_store(url)
    assert store.names() == [DEVICE]
    names = ["portrait-f32-t1.parquet", "portrait-f32-t2.parquet"]
    assert store.names(DEVICE) == sorted([*names, *(f"{name}.json" for name in names)])
    entry = json.loads(store.read(f"{NAME}.json", 10_000))
    assert (entry["path"], entry["threads"], entry["entries"]) == (NAME, 1, 3)


def test_another_table_is_never_overwritten_unless_told(url, tmp_path):
    path, other = saved(tmp_path), saved(tmp_path, variant(seed=1))
    push(path, url)
    with pytest.raises(UsageError, match=r"exists already and is another table of 2026-01-02.*--force"):
        push(other, url)
    assert open_store(url).read(NAME, MAX_FILE_BYTES) == path.read_bytes()
    assert push(other, url, force=True).state == "replaced"
    pulled(url, tmp_path / "out")
    assert Table.read(tmp_path / "out" / NAME) == variant(seed=1)


def test_store_itself_refuses_what_is_there(url):
    """Not by a look before: two that look at once both see nothing."""
    store = open_store(url)
    store.put("a-cpu/x.parquet", b"one", overwrite=False)
    blind = replace(store, _filesystem=Blind(store._filesystem))
    with pytest.raises(FileExistsError):
        blind.put("a-cpu/x.parquet", b"two", overwrite=False)
    assert store.read("a-cpu/x.parquet", 10) == b"one"
    blind.put("a-cpu/x.parquet", b"two", overwrite=True)
    assert store.read("a-cpu/x.parquet", 10) == b"two"


class Blind:
    """A file system whose look says that nothing is there."""

    def __init__(self, filesystem):
        self._filesystem = filesystem

    def exists(self, path):
        return False

    def __getattr__(self, name):
        return getattr(self._filesystem, name)


def test_dry_run_writes_nothing(url, tmp_path):
    assert push(saved(tmp_path), url, dry_run=True).state == "new"
    assert open_store(url).names() == []
    push(saved(tmp_path), url)
    with pytest.raises(UsageError, match="--force"):
        push(saved(tmp_path, variant(seed=1)), url, dry_run=True)


def test_broken_table_is_not_pushed(url, tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(FileFormatError, match="is not a readable Parquet file"):
        push(tmp_path / "t.parquet", url)
    assert open_store(url).names() == []


def test_only_what_is_wanted_is_pulled(url, tmp_path):
    for table in (
        TABLE,
        variant(threads=2),
        variant(precision="bf16"),
        variant(space="lean"),
        variant(cpu_model="EPYC"),
    ):
        push(saved(tmp_path, table), url)

    def names(**wanted):
        folder = tmp_path / uuid.uuid4().hex
        pulled(url, folder, **wanted)
        return files_of(folder)

    assert len(names(device=None)) == 5
    assert names(device="epyc") == ["epyc/portrait-f32-t1.parquet"]
    assert names(precision="bf16") == [f"{DEVICE}/portrait-bf16-t1.parquet"]
    assert names(threads=2) == [f"{DEVICE}/portrait-f32-t2.parquet"]
    assert names(space="lean") == [f"{DEVICE}/lean-f32-t1.parquet"]
    with pytest.raises(LatlasError, match=rf"has no table of device {DEVICE}, threads 9; it has epyc/portrait-f32-t1"):
        names(threads=9)
    with pytest.raises(LatlasError, match="has no table of device other-cpu; it has"):
        names(device="other-cpu")


def test_empty_store_says_so(url, tmp_path):
    with pytest.raises(LatlasError, match="it has none at all") as caught:
        pulled(url, tmp_path / "out")
    assert caught.value.exit_code == 1


def test_two_pushes_at_once_of_different_tables_lose_nothing(url, tmp_path):
    paths = [saved(tmp_path, variant(threads=threads)) for threads in range(1, 5)]
    assert [done.state for done in at_once(lambda path: push(path, url), paths)] == ["new"] * 4
    assert len(pulled(url, tmp_path / "out").tables) == 4


def test_two_pushes_at_once_of_one_name_leave_one_whole_table(url, tmp_path):
    paths = [saved(tmp_path, variant(seed=seed)) for seed in range(3)]
    results = at_once(lambda path: push(path, url), paths)
    assert sum(not isinstance(result, Exception) for result in results) == 1
    assert all(isinstance(result, UsageError) for result in results if isinstance(result, Exception))
    (copied,) = pulled(url, tmp_path / "out").tables
    won = next(result for result in results if not isinstance(result, Exception))
    assert copied.entry == won.entry


def test_two_forced_pushes_at_once_leave_a_table_with_its_entry(url, tmp_path):
    paths = [saved(tmp_path, variant(seed=seed)) for seed in range(4)]
    results = at_once(lambda path: push(path, url, force=True), paths)
    assert all(type(result) is LatlasError for result in results if isinstance(result, Exception))
    (copied,) = pulled(url, tmp_path / "out").tables
    assert copied.entry in [load(path).entry for path in paths]


def at_once(work, items):
    """What `work` returns or raises for each item, all begun at the same moment."""
    results: list[Any] = [None] * len(items)
    barrier = threading.Barrier(len(items))

    def run(number, item):
        barrier.wait()
        try:
            results[number] = work(item)
        except Exception as error:  # noqa: BLE001
            results[number] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(items)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_published_and_pushed_tables_of_one_folder_are_all_pulled(tmp_path):
    folder = tmp_path / "store"
    publish(saved(tmp_path), folder)
    publish(saved(tmp_path, variant(threads=2)), folder)
    push(saved(tmp_path, variant(threads=3)), str(folder))
    push(saved(tmp_path, variant(seed=1)), str(folder), force=True)
    tables = pulled(str(folder), tmp_path / "out").tables
    assert [copied.entry.threads for copied in tables] == [1, 2, 3]
    assert Table.read(tmp_path / "out" / NAME) == variant(seed=1)


# Stores that fail or lie ----------------------------------------------------------------------------------------------


def test_push_killed_before_the_entry_is_completed_by_the_next(url, tmp_path, monkeypatch):
    path, put = saved(tmp_path), Store.put

    def half(store, place, content, overwrite):
        if place.endswith(".json"):
            raise KeyboardInterrupt
        put(store, place, content, overwrite)

    monkeypatch.setattr(Store, "put", half)
    with pytest.raises(KeyboardInterrupt):
        push(path, url)
    monkeypatch.undo()
    os.environ["LATLAS_CACHE"] = str(tmp_path / "cache")  # undone as well
    with pytest.raises(LatlasError, match="has no table of"):
        pulled(url, tmp_path / "out")
    assert push(path, url).state == "unchanged"
    assert len(pulled(url, tmp_path / "out").tables) == 1


def test_forced_push_killed_before_the_entry_is_completed_by_the_next(tmp_path):
    url = f"memory://{uuid.uuid4().hex}"
    path, other, put = saved(tmp_path), saved(tmp_path, variant(seed=1)), Store.put
    push(path, url)
    put(open_store(url), NAME, other.read_bytes(), overwrite=True)
    with pytest.raises(FileFormatError, match="if a push is under way try again, else push it again"):
        pulled(url, tmp_path / "out")
    assert push(other, url).state == "unchanged"
    pulled(url, tmp_path / "out")
    assert Table.read(tmp_path / "out" / NAME) == variant(seed=1)


def test_upload_that_fails_half_way_leaves_no_table(tmp_path, monkeypatch):
    class Failing(MemoryFileSystem):  # type: ignore[misc]
        protocol = "failing"
        store: dict[str, Any] = {}  # noqa: RUF012  (as its parent has it)
        pseudo_dirs = [""]  # noqa: RUF012

        @classmethod
        def _strip_protocol(cls, path):
            return MemoryFileSystem._strip_protocol(str(path).replace("failing://", "memory://"))

        def pipe_file(self, path, value, mode="overwrite", **options):
            super().pipe_file(path, value[: len(value) // 2])
            raise OSError("connection reset by https://me:hunter22@host/?sig=tokentoken")

    fsspec.register_implementation("failing", Failing, clobber=True)
    with pytest.raises(UnreachableError, match=r"cannot write .* at failing://box: connection reset by https://host/$"):
        push(saved(tmp_path), "failing://box")
    assert Failing.store == {}


def spoiled(url, path, change):
    store = open_store(url)
    store.put(path, change(store.read(path, MAX_FILE_BYTES)), overwrite=True)


def with_fields(**fields):
    return lambda text: json.dumps({**json.loads(text), **fields}).encode()


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        (NAME, lambda content: content[:-1] + b"x", "is not whole: "),
        (NAME, lambda content: content[:100], "is not whole: 100 bytes of sha256"),
        (NAME, lambda content: content + b"x", "has more than"),
        (NAME, lambda content: b"", "is not whole: 0 bytes"),
        (f"{NAME}.json", lambda text: b"{", "is not JSON"),
        (f"{NAME}.json", lambda text: text + b" " * 100_000, "has more than 65536 bytes"),
        (f"{NAME}.json", with_fields(sha256="0" * 64), "is not whole"),
        (f"{NAME}.json", with_fields(size_bytes=10**12), "size_bytes is 1000000000000"),
        (f"{NAME}.json", with_fields(path="../../x.parquet"), "path is '../../x.parquet'"),
        (f"{NAME}.json", with_fields(path="/etc/x.parquet"), "path is '/etc/x.parquet'"),
        (f"{NAME}.json", with_fields(path="other/x.parquet"), "is the entry of another table, other/x.parquet"),
        (
            f"{NAME}.json",
            with_fields(openvino_version="2099.1"),
            "openvino_version is '2026.4.1', the index says '2099.1'",
        ),
        (f"{NAME}.json", with_fields(schema_version=99, new=1), "schema_version is 99; this Latlas reads up to 2"),
        (f"{NAME}.json", with_fields(threads=2), "threads is 1, the index says 2"),
        (f"{NAME}.json", with_fields(noise_floor=0.0), "noise_floor is 0.008, the index says 0.0"),
    ],
)
def test_what_is_not_as_it_should_be_does_not_appear(tmp_path, place, change, message):
    url = f"memory://{uuid.uuid4().hex}"
    push(saved(tmp_path), url)
    spoiled(url, place, change)
    with pytest.raises(FileFormatError, match=message) as caught:
        pulled(url, tmp_path / "out")
    assert str(caught.value).isprintable()
    assert not (tmp_path / "out").exists()


def test_one_broken_table_keeps_the_others_from_appearing_and_other_devices_do_not(url, tmp_path):
    for table in (TABLE, variant(threads=2), variant(cpu_model="EPYC")):
        push(saved(tmp_path, table), url)
    spoiled(url, NAME, lambda content: content[:-4])
    with pytest.raises(FileFormatError):
        pulled(url, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(pulled(url, tmp_path / "out", device="epyc").tables) == 1


def test_hostile_index_leads_nowhere(tmp_path):
    folder = tmp_path / "store"
    publish(saved(tmp_path), folder)
    index = json.loads((folder / "index.json").read_text())
    for path in ("../x.parquet", "/tmp/x.parquet", f"{DEVICE}/../../x.parquet", f"{DEVICE}/.x.parquet"):
        index["tables"][0]["path"] = path
        (folder / "index.json").write_text(json.dumps(index))
        with pytest.raises(FileFormatError, match="it must be <device>/<name>"):
            pulled(str(folder), tmp_path / "out")
    index["tables"][0]["path"] = f"{DEVICE}/another-f32-t1.parquet"
    shutil.copy(folder / NAME, folder / DEVICE / "another-f32-t1.parquet")
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(FileFormatError, match=r"path is 'intel-core-i7-8700/portrait-f32-t1.parquet', the index says"):
        pulled(str(folder), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_more_than_is_held_at_once_is_refused_before_it_is_downloaded(url, tmp_path, monkeypatch):
    for threads in (1, 2):
        push(saved(tmp_path, variant(threads=threads)), url)
    monkeypatch.setattr("latlas.latency.sharing.pull.MAX_PULL_BYTES", 15_000)
    with pytest.raises(UsageError, match=r"2 tables of \d+ bytes are wanted, at most 15000 at once; name fewer"):
        pulled(url, tmp_path / "out")
    assert len(pulled(url, tmp_path / "out", threads=2).tables) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipe_in_a_shared_folder_is_not_waited_for(tmp_path):
    push(saved(tmp_path), str(tmp_path / "store"))
    (tmp_path / "store" / NAME).unlink()
    os.mkfifo(tmp_path / "store" / NAME)
    with pytest.raises(FileFormatError, match="is missing, and its entry is there"):
        pulled(str(tmp_path / "store"), tmp_path / "out")


def test_pull_replaces_another_table_only_when_told(url, tmp_path):
    push(saved(tmp_path), url)
    push(saved(tmp_path, variant(threads=2)), url)
    (tmp_path / "out" / DEVICE).mkdir(parents=True)
    mine = variant(threads=2, seed=7)
    mine.write(tmp_path / "out" / DEVICE / "portrait-f32-t2.parquet")
    with pytest.raises(UsageError, match="exists already and is another table"):
        pulled(url, tmp_path / "out")
    assert files_of(tmp_path / "out") == [f"{DEVICE}/portrait-f32-t2.parquet"]
    assert Table.read(tmp_path / "out" / DEVICE / "portrait-f32-t2.parquet") == mine
    assert [one.state for one in pulled(url, tmp_path / "out", force=True).tables] == ["new", "replaced"]
    assert Table.read(tmp_path / "out" / DEVICE / "portrait-f32-t2.parquet") == variant(threads=2)


# The cache ------------------------------------------------------------------------------------------------------------


def failing_reads(monkeypatch, cache):
    def read(store, path, limit):
        raise UnreachableError("cannot read: no route to host")

    original = Store.read
    monkeypatch.setattr(
        Store,
        "read",
        lambda store, path, limit: (original if store.name.startswith(f"{cache}/") else read)(store, path, limit),
    )


def test_offline_the_cache_serves_with_its_age(url, tmp_path, monkeypatch, cache):
    push(saved(tmp_path), url)
    with pytest.raises(LatlasError, match=r"the cache of .* has no table"):
        pulled(url, tmp_path / "out", offline=True)
    pulled(url, tmp_path / "one")
    (kept,) = cache.rglob("*.json")
    os.utime(kept, (kept.stat().st_atime, kept.stat().st_mtime - 7200))
    told = pulled(url, tmp_path / "two", offline=True)
    assert (told.offline, told.reason) == (True, "as told") and 7200 <= told.age_s < 7300
    failing_reads(monkeypatch, cache)
    fallen_back = pulled(url, tmp_path / "three")
    assert fallen_back.offline and "no route to host" in fallen_back.reason and fallen_back.age_s >= 7200
    assert [files_of(tmp_path / name) for name in ("one", "two", "three")] == [[NAME]] * 3


def test_unreachable_and_not_in_the_cache_is_an_error(url, tmp_path, monkeypatch, cache):
    push(saved(tmp_path), url)
    failing_reads(monkeypatch, cache)
    with pytest.raises(UnreachableError, match="no route to host; the cache has not all of that either") as caught:
        pulled(url, tmp_path / "out")
    assert caught.value.exit_code == 1


def test_spoiled_cache_is_downloaded_anew_and_refused_offline(url, tmp_path, cache):
    push(saved(tmp_path), url)
    pulled(url, tmp_path / "one")
    (kept,) = cache.rglob("*.parquet")
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    with pytest.raises(FileFormatError, match="is not whole"):
        pulled(url, tmp_path / "two", offline=True)
    pulled(url, tmp_path / "three")
    assert Table.read(kept) == TABLE


def test_replaced_table_is_downloaded_anew(url, tmp_path):
    push(saved(tmp_path), url)
    pulled(url, tmp_path / "one")
    push(saved(tmp_path, variant(seed=1)), url, force=True)
    pulled(url, tmp_path / "two")
    assert Table.read(tmp_path / "two" / NAME) == variant(seed=1)


def test_cache_that_cannot_be_written_is_no_error(tmp_path, cache):
    push(saved(tmp_path), str(tmp_path / "store"))
    cache.write_text("a file")
    assert len(pulled(str(tmp_path / "store"), tmp_path / "out").tables) == 1


def test_where_the_cache_is(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("LATLAS_CACHE")
    assert cache_folder().name == "latlas"


# http -----------------------------------------------------------------------------------------------------------------


def test_published_folder_is_pulled_over_http_by_its_index(web, tmp_path):
    folder, url = web
    publish(saved(tmp_path), folder)
    publish(saved(tmp_path, variant(threads=2)), folder)
    assert len(pulled(url, tmp_path / "out").tables) == 2
    assert len(pulled(f"{url}/", tmp_path / "again", threads=2).tables) == 1


def test_pushed_table_is_pulled_over_http_by_its_name(web, tmp_path):
    folder, url = web
    push(saved(tmp_path, variant(space="portrait:height=192")), str(folder / "deep" / "er"))
    url += "/deep/er"
    with pytest.raises(UsageError, match=r"has no index\.json, and nothing is listed over http; name the table"):
        pulled(url, tmp_path / "out")
    (one,) = pulled(url, tmp_path / "out", space="portrait:height=192", precision="f32", threads=1).tables
    assert one.entry.path == f"{DEVICE}/portrait-height-192-f32-t1.parquet"
    with pytest.raises(LatlasError, match=r"has no table of .*threads 2; it has nothing that could be listed"):
        pulled(url, tmp_path / "out", space="portrait:height=192", precision="f32", threads=2)


def test_spoiled_file_over_http_is_refused(web, tmp_path):
    folder, url = web
    publish(saved(tmp_path), folder)
    whole = (folder / NAME).read_bytes()
    for content, message in (
        (whole[:-1] + b"x", "is not whole"),
        (whole * 500, "has more than"),
        (b"", "is not whole"),
    ):
        (folder / NAME).write_bytes(content)
        with pytest.raises(FileFormatError, match=message):
            pulled(url, tmp_path / "out")
    (folder / NAME).unlink()
    with pytest.raises(FileFormatError, match="is missing, and its entry is there"):
        pulled(url, tmp_path / "out")
    (folder / "index.json").write_bytes(b" " * (33 * 2**20))
    with pytest.raises(FileFormatError, match="has more than"):
        pulled(url, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_http_server_that_is_gone_leaves_the_cache(web, tmp_path):
    folder, url = web
    publish(saved(tmp_path), folder)
    address = url.replace("http://", "http://me:hunter22@") + "?token=tokentoken"
    assert len(pulled(address, tmp_path / "one").tables) == 1
    # The same name in the cache, and nobody at the port.
    with pytest.raises(UnreachableError) as caught:
        pulled("http://me:hunter22@127.0.0.1:9/x?token=tokentoken", tmp_path / "two")
    assert "hunter22" not in str(caught.value) and "tokentoken" not in str(caught.value)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert b"hunter22" not in kept and b"tokentoken" not in kept
    told = pulled(url, tmp_path / "three", offline=True)
    assert told.url == url and len(told.tables) == 1


def test_nothing_is_pushed_over_http(web, tmp_path):
    for options in ({}, {"dry_run": True}):
        with pytest.raises(UsageError, match="nothing can be pushed over http; push to the store behind it"):
            push(saved(tmp_path), web[1], **options)


# S3 -------------------------------------------------------------------------------------------------------------------


def test_bucket_that_is_not_there_is_said(s3, tmp_path):
    with pytest.raises(UsageError, match=r"cannot write .* at s3://no-such-bucket/x: there is no such place"):
        push(saved(tmp_path), "s3://no-such-bucket/x")
    with pytest.raises(LatlasError, match="it has none at all"):
        pulled("s3://no-such-bucket/x", tmp_path / "out")


def test_s3_server_that_is_gone_leaves_the_cache(s3, tmp_path, monkeypatch):
    push(saved(tmp_path), s3)
    pulled(s3, tmp_path / "one")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    monkeypatch.setattr(fsspec.get_filesystem_class("s3"), "retries", 1)
    result = pulled(s3, tmp_path / "two")
    assert result.offline and "127.0.0.1:9" in result.reason and SECRET not in result.reason
    assert files_of(tmp_path / "two") == [NAME]
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_s3_table_over_http_by_its_name(s3, s3_server, tmp_path):
    """What is public in a bucket is read without any package of S3's, and without leave to list it."""
    done = push(saved(tmp_path), s3)
    filesystem = fsspec.filesystem("s3")
    address = s3.replace("s3://", f"{s3_server}/")
    with pytest.raises(UsageError, match="nothing is listed over http; name the table"):
        pulled(address, tmp_path / "out")
    with pytest.raises(UsageError, match="not allowed"):
        open_store(address).read(NAME, MAX_FILE_BYTES)
    for place in (done.place, f"{done.place}.json"):
        filesystem.chmod(place, "public-read")
    result = pulled(address, tmp_path / "out", space="portrait", precision="f32", threads=1)
    assert files_of(tmp_path / "out") == [NAME] and not result.offline


@pytest.mark.parametrize("protocol", ["gs", "gcs", "az", "abfs"])
def test_other_object_stores_are_asked_for_a_conditional_put(protocol, tmp_path, monkeypatch):
    """A fake file system under their name: that the URL gets there, and what is asked of it."""
    asked = []

    class Fake(MemoryFileSystem):  # type: ignore[misc]
        cachable = False

        @classmethod
        def _strip_protocol(cls, path):
            return MemoryFileSystem._strip_protocol(str(path).replace(f"{protocol}://", "memory://"))

        def pipe_file(self, path, value, mode="overwrite", **options):
            asked.append((path, mode))
            super().pipe_file(path, value, mode=mode)

    real = fsspec.get_filesystem_class
    monkeypatch.setattr(fsspec, "get_filesystem_class", lambda name: Fake if name == protocol else real(name))
    root = uuid.uuid4().hex
    url = f"{protocol}://{root}/latlas"
    push(saved(tmp_path), url)
    assert asked == [(f"/{root}/latlas/{NAME}", "create"), (f"/{root}/latlas/{NAME}.json", "overwrite")]
    assert len(pulled(url, tmp_path / "out").tables) == 1


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("any", None),
        (DEVICE, DEVICE),
        ("Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz", DEVICE),
        ("../../etc", "etc"),
    ],
)
def test_devices(text, device):
    assert device_of(text) == device


def test_entries_are_sorted(tmp_path):
    for threads in (3, 1, 2):
        push(saved(tmp_path, variant(threads=threads)), str(tmp_path / "store"))
    assert [entry.threads for entry in entries_in(open_store(str(tmp_path / "store")), Selection())] == [1, 2, 3]
