"""Reads thousands of broken and hostile table files: no crash, no hang, no memory blow-up, no wrong table.

    python benchmarks/fuzz_tables.py [--mutations 10000] [--seed 0] [--saved FOLDER]

`Table.read` reads each mutation of a sample table in a child process with limits on time and memory; a child that dies is
replaced. Right outcomes are a table equal to the sample, or `FileFormatError`. If the mutation is an edit that makes all
checksums anew, a table that goes through a file unchanged is right too. Prints JSON. Exits with 1 if anything else happened,
with the mutation's number, from which it can be made again, and its file in `--saved`.
"""

from __future__ import annotations

import argparse
import copy
import functools
import hashlib
import io
import json
import os
import random
import resource
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from latlas.errors import FileFormatError, LatlasError
from latlas.files.records import canonical_json
from latlas.latency.machine.environment import Environment, MachineState
from latlas.latency.table import parquet_guard as thrift
from latlas.latency.table.manifest import InNetwork, Manifest
from latlas.latency.table.parquet import CHECKSUM_KEY, METADATA_KEY
from latlas.latency.table.row import COUNTS, NUMBERS, ROW_FIELDS, Row, rows_checksum
from latlas.latency.table.table import Table
from latlas.spaces.operators.spec import OpSpec

SECONDS_A_READ = 20.0
SPARE_BYTES = 2**30
PEAK_BYTES = 400 * 2**20
"""How much a read may add to the child's peak memory; a whole table of 100,000 rows stays below."""
OUTCOMES = ("equal", "refused", "consistent")
MIB = 2**20


# Samples ------------------------------------------------------------------------------------------------------------


def _environment(**fields: Any) -> Environment:
    known: dict[str, Any] = {
        "cpu_model": "Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz",
        "cpu_flags": "avx avx2 fma",
        "logical_cpus": 12,
        "physical_cores": 6,
        "threads": 1,
        "streams": 1,
        "precision": "f32",
        "batch": 1,
        "openvino_version": "2026.4.1",
        "reference_id": "operator-2",
        "reference_ms": 0.5,
        "kernel": "Linux 6.1",
        "python_version": "3.11.7",
        "latlas_version": "0.2.0",
        "started_at": "2026-01-02T03:04:05+00:00",
        "state": MachineState(governor="performance", turbo=True, smt=True, load_1m=0.25),
    }
    return Environment(**known | fields)


def _row(spec: OpSpec, ratio: float) -> Row:
    latency, low, high = ratio * 0.5, 0.99, 1.01
    times = latency, latency * low, latency * high, ratio, ratio * low, ratio * high
    return Row(spec, *times, 40, 3, 2, latency * 0.95, latency, latency * 1.2)


@functools.cache
def samples() -> tuple[Table, ...]:
    """Tables to mutate: a measured one, one with in-network latencies, an imported one, an empty one."""
    manifest = Manifest(
        *(_environment(), "reference", "portrait", "latlas profile-ops --space portrait", 0, 0.008),
        created_at="2026-01-02T03:10:00+00:00",
        tool_version="0.2.0",
    )
    specs = [OpSpec("mbconv", c, c, s, s, 1, k, 6 * c, 8) for c, s in ((16, 64), (24, 32), (40, 16)) for k in (3, 5)]
    measured = [_row(spec, 0.1 * (n + 1)) for n, spec in enumerate(specs)]
    measured.append(Row.failed(OpSpec("shuffle", 24, 24, 32, 32), "compiling hung"))
    network = InNetwork(subnets=100, reference_id="net-1", reference_ms=5.0, fixed_ms=0.1, error=0.02, seed=0)
    within = [replace(one, in_network_ms=0.1, in_network_se_ms=0.01) for one in measured[:3]]
    nothing: dict[str, Any] = dict.fromkeys(NUMBERS) | dict.fromkeys(COUNTS, 0)
    foreign = [
        Row(
            spec=OpSpec("foreign", 16, 24, 112, 112, 2, label=f"expanded_conv {n}"),
            **nothing | {"latency_ms": 1.0 + n},
            origin="imported",
            source="mobile.yaml",
        )
        for n in range(3)
    ]
    elsewhere = replace(manifest, environment=_environment(reference_ms=None, threads=None), origin="imported")
    return (
        Table(tuple(measured), manifest),
        Table((*within, *measured[3:]), replace(manifest, in_network=network)),
        Table(tuple(foreign), elsewhere),
        Table((), manifest),
    )


@functools.cache
def written(index: int) -> bytes:
    """The file of a sample."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        samples()[index].write(path)
        return path.read_bytes()


# The file taken apart and put together again ------------------------------------------------------------------------


def encode(struct: thrift.Struct) -> bytes:
    """The bytes of a struct that `thrift.Reader` reads; whatever is in it is written, possible or not."""
    out, last = bytearray(), 0
    for number, (kind, value) in struct.items():
        wire = thrift.FALSE if kind == thrift.TRUE and not value else kind
        if 0 < number - last < 16:
            out.append((number - last) << 4 | wire)
        else:
            out += bytes([wire]) + _varint(_zigzag(number))
        if kind != thrift.TRUE:
            out += _encoded(kind, value)
        last = number
    return bytes(out) + b"\0"


def _encoded(kind: int, value: Any) -> bytes:
    if kind == thrift.STRUCT:
        return encode(value)
    if kind == thrift.BINARY:
        return _varint(len(value)) + bytes(value)
    if kind in (thrift.LIST, thrift.SET):
        inner, values = value
        head = bytes([len(values) << 4 | inner]) if len(values) < 15 else bytes([0xF0 | inner]) + _varint(len(values))
        return head + b"".join(_encoded(inner, one) for one in values)
    if kind in (thrift.I16, thrift.I32, thrift.I64):
        return _varint(_zigzag(value))
    return bytes(value) if isinstance(value, bytes) else bytes([value & 0xFF])


def _zigzag(value: int) -> int:
    return value * 2 if value >= 0 else -value * 2 - 1


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


Page = tuple[thrift.Struct, bytes]


def apart(content: bytes) -> tuple[thrift.Struct, list[list[Page]]]:
    """Footer, and the pages of each column."""
    size = int.from_bytes(content[-8:-4], "little")
    footer = thrift.Reader(memoryview(content)[-8 - size : -8]).struct()
    columns = []
    for chunk in _chunks(footer):
        place = min(chunk[number][1] for number in (9, 11) if number in chunk and chunk[number][1])
        end, pages = place + chunk[7][1], []
        while place < end:
            reader = thrift.Reader(memoryview(content), place)
            header = reader.struct()
            place = reader.position + header[3][1]
            pages.append((header, content[reader.position : place]))
        columns.append(pages)
    return footer, columns


def _chunks(footer: thrift.Struct) -> list[thrift.Struct]:
    return [chunk[3][1] for group in footer[4][1][1] for chunk in group[1][1][1]]


def together(footer: thrift.Struct, columns: list[list[Page]], place: bool = True) -> bytes:
    """The file again, with the columns' places and sizes as they now are where `place`."""
    out = bytearray(b"PAR1")
    for chunk, pages in zip(_chunks(footer), columns, strict=False):
        start, first = len(out), None
        for header, body in pages:
            if header.get(1, (0, 0))[1] == 0 and first is None:
                first = len(out)
            out += encode(header) + body
        if place:
            chunk[9] = (thrift.I64, start if first is None else first)
            chunk[7] = (thrift.I64, len(out) - start)
            if 11 in chunk:
                chunk[11] = (thrift.I64, start)
    tail = encode(footer)
    return bytes(out) + tail + len(tail).to_bytes(4, "little") + b"PAR1"


# Mutations: each takes a file and a random generator ----------------------------------------------------------------

EXTREMES = (0, 1, -1, 2, 7, 127, 255, 2**15, 2**31 - 1, -(2**31), 2**31, 2**32, 2**62, 2**63 - 1, -(2**63), 2**70)


def bits(content: bytes, rng: random.Random) -> bytes:
    mutated, low = bytearray(content), rng.choice((0, len(content) // 2, max(0, len(content) - 600)))
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        mutated[rng.randrange(low, len(mutated))] ^= 1 << rng.randrange(8)
    return bytes(mutated)


def truncated(content: bytes, rng: random.Random) -> bytes:
    cut = content[: rng.randrange(len(content))]
    return cut if rng.random() < 0.5 else cut + content[-8:]


def spliced(content: bytes, rng: random.Random) -> bytes:
    other = written(rng.randrange(len(samples())))
    at, start = rng.randrange(len(content)), rng.randrange(len(other))
    piece = other[start : start + rng.choice((1, 4, 16, 100, 2000))]
    return content[:at] + piece + content[at + rng.choice((0, len(piece), rng.randrange(100))) :]


def inserted(content: bytes, rng: random.Random) -> bytes:
    at, piece = rng.randrange(len(content)), rng.choice((b"\x00", b"\xff", rng.randbytes(1))) * rng.randint(1, 64)
    return content[:at] + piece + content[at + rng.choice((0, 0, len(piece))) :]


def footer_length(content: bytes, rng: random.Random) -> bytes:
    length = int.from_bytes(content[-8:-4], "little")
    wrong = rng.choice((0, 1, length - 1, length + 1, len(content), 2**31, 2**32 - 1, rng.randrange(2 * length)))
    return content[:-8] + (wrong % 2**32).to_bytes(4, "little") + content[-4:]


def _fields(value: Any, found: list[tuple[dict[int, Any], int]]) -> list[tuple[dict[int, Any], int]]:
    """Every field of every struct below, as the struct and the field's number."""
    for number, (kind, inner) in value.items():
        found.append((value, number))
        if kind == thrift.STRUCT:
            _fields(inner, found)
        elif kind == thrift.LIST and inner[0] == thrift.STRUCT:
            for one in inner[1]:
                _fields(one, found)
    return found


def _edit(struct: thrift.Struct, rng: random.Random) -> None:
    fields = _fields(struct, [])
    owner, number = rng.choice(fields)
    kind, value = owner[number]
    match rng.randrange(8):
        case 0:
            del owner[number]
        case 1:
            owner[rng.randint(1, 20)] = owner[number]
        case 2:
            owner[number] = (rng.choice((thrift.I32, thrift.I64, thrift.BINARY, thrift.I16)), rng.randrange(300))
            if owner[number][0] == thrift.BINARY:
                owner[number] = (thrift.BINARY, rng.randbytes(5))
        case _ if kind in (thrift.I16, thrift.I32, thrift.I64):
            owner[number] = (kind, rng.choice((*EXTREMES, value + 1, value - 1, value * 2, rng.randrange(20))))
        case _ if kind == thrift.BINARY:
            owner[number] = (kind, rng.choice((b"", value * 2, value[:-1], rng.randbytes(9), b"\x1b[31m" + value)))
        case _ if kind == thrift.LIST:
            inner, values = value
            repeated = values * rng.choice((0, 2, 3, 100))
            owner[number] = (kind, (inner, rng.choice((repeated, values[:-1], values[::-1]))))
        case _ if kind == thrift.TRUE:
            owner[number] = (kind, not value)


def footer_fields(content: bytes, rng: random.Random) -> bytes:
    footer, _ = apart(content)
    footer = copy.deepcopy(footer)
    for _ in range(rng.choice((1, 1, 1, 3))):
        _edit(footer, rng)
    tail = encode(footer)
    size = int.from_bytes(content[-8:-4], "little")
    return content[: -8 - size] + tail + len(tail).to_bytes(4, "little") + b"PAR1"


def page_fields(content: bytes, rng: random.Random) -> bytes:
    footer, columns = apart(content)
    pages = [(column, number) for column in columns for number in range(len(column))]
    if not pages:
        return bits(content, rng)
    column, number = rng.choice(pages)
    header, body = column[number]
    match rng.randrange(6):
        case 0:
            column.insert(number, (header, body))
        case 1:
            del column[number]
        case 2:
            body = inserted(body or b"\0", rng)
            header[3] = (thrift.I32, len(body))
            column[number] = header, body
        case 3:
            header.pop(4, None)  # no checksum, so that what follows is decoded
            column[number] = header, bits(body or b"\0", rng)
        case _:
            _edit(header, rng)
            header.pop(4, None)
    return together(footer, columns)


@functools.cache
def _frame(kind: str) -> bytes:
    """A mebibyte, compressed: of zeros, or of what looks like a text of 2**31 - 1 bytes, over and over."""
    plain = bytes(MIB) if kind == "zeros" else b"\xff\xff\xff\x7f" * (MIB // 4)
    return bytes(pa.compress(plain, codec="zstd", asbytes=True))


def bomb(content: bytes, rng: random.Random) -> bytes:
    """A page that expands to up to two gigabytes, and says so, or not."""
    footer, columns = apart(content)
    pages = [(column, number) for column in columns for number in range(len(column))]
    if not pages:
        return footer_fields(content, rng)
    mebibytes = rng.choice((1, 15, 16, 64, 500, 2047))
    claims = rng.choice((mebibytes * MIB, mebibytes * MIB, 100, MIB, 16 * MIB, 2**31 - 1))
    for column, number in rng.sample(pages, min(len(pages), rng.choice((1, 1, 40)))):
        header, _ = column[number]
        header.pop(4, None)
        body = _frame(rng.choice(("zeros", "long"))) * mebibytes
        header |= {2: (thrift.I32, min(claims, 2**31 - 1)), 3: (thrift.I32, len(body))}
        column[number] = header, body
    return together(footer, columns)


def _rewritten(content: bytes, table: pa.Table, record: dict[str, Any], rng: random.Random, **options: Any) -> bytes:
    text = canonical_json(record) if rng.random() < 0.5 else json.dumps(record)
    encoded = text.encode("utf-8", "surrogatepass")
    metadata = {METADATA_KEY: encoded}
    if rng.random() < 0.7:
        metadata[CHECKSUM_KEY] = hashlib.sha256(encoded).hexdigest().encode()
    sink = io.BytesIO()
    options = {"compression": "zstd", "store_schema": False, "write_page_checksum": True} | options
    with pq.ParquetWriter(sink, table.schema, **options) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)
    return sink.getvalue()


def _parts(content: bytes) -> tuple[pa.Table, dict[str, Any]]:
    file = pq.ParquetFile(io.BytesIO(content))
    record: dict[str, Any] = json.loads(file.metadata.metadata[METADATA_KEY])
    return file.read(use_threads=False).replace_schema_metadata(None), record


def _hostile(rng: random.Random) -> Any:
    deep: Any = []
    for _ in range(rng.choice((3, 500))):
        deep = [deep]
    whole = rng.choice(EXTREMES)
    texts = ("", "x" * 10_000, "\x1b[2J\x1b[31m", "\ud800", "a\nb", "\u202e", "NaN", "../../etc/passwd", "1e999")
    return rng.choice((None, True, whole, -0.5, 1e308, float("nan"), rng.choice(texts), deep, {}, {"x": deep}, []))


def manifest_fields(content: bytes, rng: random.Random) -> bytes:
    table, record = _parts(content)
    owner: dict[str, Any] = record
    while True:
        name = rng.choice(sorted(owner))
        if not isinstance(owner[name], dict) or not owner[name] or rng.random() < 0.2:
            break
        owner = owner[name]
    match rng.randrange(4):
        case 0:
            del owner[name]
        case 1:
            owner[rng.choice(("extra", "\x1b[31m", "__class__"))] = _hostile(rng)
        case _:
            owner[name] = _hostile(rng)
    with suppress(ValueError):
        return _rewritten(content, table, record, rng)
    return _rewritten(content, table, json.loads(json.dumps(record).replace("NaN", "0")), rng)


def row_values(content: bytes, rng: random.Random) -> bytes:
    """A value of a row is another one; the checksum of the rows fits them or does not."""
    table, record = _parts(content)
    records = table.to_pylist()
    if not records:
        return manifest_fields(content, rng)
    for _ in range(rng.choice((1, 1, 3))):
        chosen = rng.choice(records)
        name = rng.choice(sorted(chosen))
        if pa.types.is_string(table.schema.field(name).type):
            values: tuple[Any, ...] = (None, "", "x" * 20_000, "\x1b[31m", "skip", "imported", "failed", "a\tb")
        elif pa.types.is_floating(table.schema.field(name).type):
            values = (None, 0.0, -1.0, float("nan"), float("inf"), 5e-324, 1e308, 1.0)
        else:
            values = (None, 0, -1, 1, 2, 2**31, 2**63 - 1, -(2**63))
        chosen[name] = rng.choice(values)
    if rng.random() < 0.7:
        with suppress(LatlasError):
            rows = [Row.from_record({name: one[name] for name in ROW_FIELDS}) for one in records]
            record["rows_sha256"] = rows_checksum(rows)
    return _rewritten(content, pa.Table.from_pylist(records, schema=table.schema), record, rng)


def rows_repeated(content: bytes, rng: random.Random) -> bytes:
    """Rows over and over, up to more than may be; other encodings and compressions; a long text in all of them."""
    table, record = _parts(content)
    if not table.num_rows:
        return manifest_fields(content, rng)
    times = rng.choice((1, 2, 50, 99_000, 100_000, 100_001, 150_000)) // rng.choice((1, table.num_rows))
    indices = pa.array([rng.randrange(table.num_rows)] * max(1, times)) if rng.random() < 0.5 else None
    if indices is None:
        indices = pa.array(list(range(table.num_rows)) * min(max(1, times), 100_001 // table.num_rows + 1))
    table = table.take(indices)
    options: dict[str, Any] = {"compression": rng.choice(("zstd", "snappy", "gzip", "lz4", "brotli", "none"))}
    if rng.random() < 0.3:
        names = {
            field.name: "DELTA_BYTE_ARRAY" if pa.types.is_string(field.type) else "BYTE_STREAM_SPLIT"
            for field in table.schema
        }
        options |= {"use_dictionary": False, "column_encoding": names}
    if rng.random() < 0.3:
        name = rng.choice([field.name for field in table.schema if pa.types.is_string(field.type)])
        # Written as a dictionary, the text is in the file once; the writer of other encodings takes all of it.
        most = 15_000_000 if options.get("use_dictionary", True) else 100_000_000 // table.num_rows
        text = pa.array(["x" * min(most, rng.choice((20_000, 1_000_000, 15_000_000)))])
        repeated = pa.DictionaryArray.from_arrays(pa.array([0] * table.num_rows, pa.int32()), text)
        if "column_encoding" in options:
            repeated = repeated.cast(pa.string())
        table = table.set_column(table.schema.get_field_index(name), name, repeated)
        options["dictionary_pagesize_limit"] = 2**30
    if rng.random() < 0.3:
        options["data_page_version"] = "2.0"
    return _rewritten(content, table, record, rng, **options)


CHEAP: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(bits, bits, truncated, spliced, inserted, footer_length, footer_fields, footer_fields, page_fields, page_fields),
    *(manifest_fields, manifest_fields, row_values),
)
COSTLY: tuple[Callable[[bytes, random.Random], bytes], ...] = (bomb, bomb, rows_repeated)
EDITS = {"manifest_fields", "row_values", "rows_repeated"}
"""The mutations that may make all checksums anew, and so a different but valid table."""


def mutation(seed: int, number: int) -> tuple[int, str, bytes]:
    """The sample's index, the name of the mutation, and its file: the same for the same seed and number."""
    rng = random.Random(f"{seed}:{number}")
    index = rng.choice((0, 0, 1, 2, 3))
    function = rng.choice(COSTLY if rng.random() < 0.15 else CHEAP)
    return index, function.__name__, function(written(index), rng)


# Reading ------------------------------------------------------------------------------------------------------------


def outcome(path: Path, index: int, edit: bool) -> str:
    """The outcome of reading the file: one of `OUTCOMES`, or what went wrong."""
    try:
        table = Table.read(path)
    except FileFormatError as error:
        line = str(error)
        if not line.startswith(str(path)) or not line.isprintable() or len(line) > 1500:
            return f"not one clear line: {line[:300]!r}"
        short = any(word in line for word in ("malloc", "realloc", "MemoryError", "out of memory"))
        return f"out of memory: {line[:200]}" if short else "refused"
    except Exception as error:  # noqa: BLE001 - what this is looking for
        return f"{type(error).__name__}: {error}"[:300]
    if table == samples()[index]:
        return "equal"
    if not edit:
        return "a table that is not the sample"
    again = path.with_suffix(".again.parquet")
    table.write(again, overwrite=True)
    return "consistent" if Table.read(again) == table else "a table that does not go through a file"


def work(seed: int, start: int, stop: int) -> None:
    """The child: read one mutation after another, and report the outcome of each."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        for index in range(len(samples())):
            path.write_bytes(written(index))
            assert outcome(path, index, edit=False) == "equal"
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        for number in range(start, stop):
            index, name, content = mutation(seed, number)
            path.write_bytes(content)
            del content
            print(f"{number} start {name}", flush=True)
            resource.setrlimit(resource.RLIMIT_AS, (in_use + SPARE_BYTES, resource.RLIM_INFINITY))
            before, began = _peak(), time.monotonic()
            found = outcome(path, index, name in EDITS)
            added = _peak() - before
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            if added > PEAK_BYTES:
                found = f"{added // MIB} MiB more memory, {found}"
            done = {"found": found, "mib": added // MIB, "seconds": time.monotonic() - began}
            print(f"{number} done {json.dumps(done)}", flush=True)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def drive(seed: int, mutations: int, saved: Path) -> dict[str, Any]:
    """Run children until all mutations are read; the record that is printed."""
    counts: dict[str, Counter[str]] = {}
    failures: list[dict[str, Any]] = []
    number, slowest, highest, children = 0, 0.0, 0, 0
    while number < mutations:
        command = [
            sys.executable,
            __file__,
            "--worker",
            str(number),
            "--mutations",
            str(mutations),
            "--seed",
            str(seed),
        ]
        # Arenas and thread stacks would fill the address space that is to be watched.
        quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        child = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | quiet)
        children += 1
        assert child.stdout is not None
        ready = selectors.DefaultSelector()
        ready.register(child.stdout, selectors.EVENT_READ)
        name, ended, buffered = "", "", b""
        while not ended:
            limit, waited = SECONDS_A_READ + 40 * (not name), time.monotonic()
            if not ready.select(timeout=limit):
                if time.monotonic() - waited > limit + 1:
                    continue  # this process was stopped meanwhile, and the child with it
                child.kill()
                ended = f"no end within {limit:.0f} s"
                break
            received = os.read(child.stdout.fileno(), 65536)
            if not received:
                ended = f"the process ended: {child.wait()}"
            *lines, buffered = (buffered + received).split(b"\n")
            for line in lines:
                _, word, rest = line.decode().split(" ", 2)
                if word == "start":
                    name = rest
                    continue
                done = json.loads(rest)
                counts.setdefault(name, Counter())[done["found"] if done["found"] in OUTCOMES else "failed"] += 1
                slowest, highest = max(slowest, done["seconds"]), max(highest, done["mib"])
                if done["found"] not in OUTCOMES:
                    failures.append(_failure(seed, number, name, done["found"], saved))
                number, name = number + 1, ""
        child.wait()
        child.stdout.close()
        if number < mutations:
            failures.append(_failure(seed, number, name or "between reads", ended, saved))
            counts.setdefault(name or "between reads", Counter())["failed"] += 1
            number += 1
    total: Counter[str] = Counter()
    for one in counts.values():
        total += one
    return {
        "seed": seed,
        "mutations": mutations,
        "outcomes": dict(total),
        "by_mutation": {name: dict(counts[name]) for name in sorted(counts)},
        "slowest_read_s": round(slowest, 3),
        "most_memory_mib": highest,
        "children": children,
        "failures": failures[:100],
        "pyarrow": pa.__version__,
    }


def _failure(seed: int, number: int, name: str, found: str, saved: Path) -> dict[str, Any]:
    saved.mkdir(parents=True, exist_ok=True)
    path = saved / f"seed{seed}-{number}.parquet"
    path.write_bytes(mutation(seed, number)[2])
    return {"seed": seed, "number": number, "mutation": name, "found": found, "file": str(path)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--saved", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        work(arguments.seed, arguments.worker, arguments.mutations)
        return
    started = time.monotonic()
    record = drive(arguments.seed, arguments.mutations, arguments.saved)
    print(json.dumps(record | {"seconds": round(time.monotonic() - started, 1)}, indent=1))
    sys.exit(1 if record["failures"] else 0)


if __name__ == "__main__":
    main()
