"""The history of a search as a Parquet file: one row for each architecture that was evaluated or measured, in order.

It has flat columns of numbers and text. So pandas, DuckDB and Polars can read it, and `check_parquet` can check it first.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from latlas.errors import FileFormatError, UsageError
from latlas.files.records import canonical_json, one_line, parse_json
from latlas.files.write import whole_file
from latlas.latency.measuring.interval import Interval
from latlas.latency.table.parquet_guard import SuspectFileError, check_parquet
from latlas.search.constraint.verdict import Verdict
from latlas.search.report.history_name import METADATA_KEY
from latlas.search.strategies.halving import Trial
from latlas.search.strategies.loop import Candidate, History, Rejected
from latlas.spaces.space import Architecture

if TYPE_CHECKING:
    import pandas as pd

# 1: the first.
SCHEMA_VERSION = 1
MAX_BYTES = 64 * 2**20
WRITE_EVERY_S = 15.0


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """An architecture at a moment of the search.

    - `phase`: `search` (scored, or measured and rejected), `front` or `finalist` (measured anew), `halving` (trained for
      `steps`), or `final` (as exported).
    - `codes`: the numbers of its operators, separated by blanks; a baseline has none.
    - `quality`: mIoU from 0 to 1; None for a rejected architecture.
    - `measured`: whether the milliseconds were measured; otherwise they are predicted.
    - `verdict`: `accepted` or `rejected`.
    - `seconds`: the age of the run.
    """

    order: int
    phase: str
    strategy: str
    architecture: str
    codes: str
    quality: float | None
    latency_ms: float
    lower_ms: float
    upper_ms: float
    measured: bool
    verdict: str
    steps: int
    seconds: float


_TYPES = {
    "str": pa.string(),
    "int": pa.int64(),
    "bool": pa.int64(),
    "float": pa.float64(),
    "float | None": pa.float64(),
}
SCHEMA = pa.schema([(one.name, _TYPES[str(one.type)]) for one in fields(HistoryRow)])


@dataclass
class HistoryFile:
    """The rows of a run, and their file. The whole file is written every `WRITE_EVERY_S` seconds and at the end."""

    path: Path
    strategy: str
    budget_ms: float
    rows: list[HistoryRow] = field(default_factory=list)
    _written: float = field(default_factory=time.monotonic)
    _taken: tuple[int, int] = (0, 0)

    def update(self, history: History, write: bool = True) -> None:
        """Add the new entries of a history, in the order of their seconds."""
        candidates, rejected = self._taken
        new: list[Candidate | Rejected] = [*history.rejected[rejected:], *history.candidates[candidates:]]
        for one in sorted(new, key=lambda one: one.seconds):
            quality = one.quality if isinstance(one, Candidate) else None
            self._add("search", one.architecture, quality, one.verdict, one.seconds)
        self._taken = len(history.candidates), len(history.rejected)
        if write and time.monotonic() - self._written >= WRITE_EVERY_S:
            self.write()

    def add(self, phase: str, candidates: Sequence[Candidate], seconds: float) -> None:
        """Add candidates that were measured anew (finalists or a front), with the quality they were scored with."""
        for one in candidates:
            self._add(phase, one.architecture, one.quality, one.verdict, seconds)
        self.write()

    def add_trials(self, trials: Sequence[Trial[Candidate]], seconds: float) -> None:
        """Add finalists with the quality that they reached in a short training."""
        for one in trials:
            self._add("halving", one.candidate.architecture, one.quality, one.candidate.verdict, seconds, one.steps)
        self.write()

    def add_final(
        self, architecture: Architecture, quality: float, interval: Interval, steps: int, seconds: float
    ) -> None:
        """Add an exported network with its final quality and latency."""
        within = interval.latency_ms <= self.budget_ms
        verdict = Verdict(within, interval.latency_ms, interval.lower_ms, interval.upper_ms, True)
        self._add("final", architecture, quality, verdict, seconds, steps)

    def write(self) -> None:
        """Write the file, whole or not at all."""
        write_history(self.path, self.rows, {"budget_ms": self.budget_ms, "strategy": self.strategy})
        self._written = time.monotonic()

    def _add(
        self,
        phase: str,
        architecture: Architecture,
        quality: float | None,
        verdict: Verdict,
        seconds: float,
        steps: int = 0,
    ) -> None:
        codes = [] if architecture.is_baseline else architecture.space.encode([architecture])[0].tolist()
        self.rows.append(
            HistoryRow(
                len(self.rows),
                phase,
                self.strategy,
                str(architecture),
                " ".join(map(str, codes)),
                quality,
                verdict.latency_ms,
                verdict.lower_ms,
                verdict.upper_ms,
                verdict.measured,
                "accepted" if verdict.feasible else "rejected",
                steps,
                seconds,
            )
        )


def write_history(path: Path, rows: Sequence[HistoryRow], about: Mapping[str, Any]) -> None:
    """Write rows, and metadata `about` the search, as one Parquet file, whole or not at all."""
    records = [asdict(row) | {"measured": int(row.measured)} for row in rows]
    text = canonical_json({"schema_version": SCHEMA_VERSION} | dict(about)).encode()
    options = {"compression": "zstd", "store_schema": False, "write_page_checksum": True}
    with (
        whole_file(path, overwrite=True) as draft,
        draft.open("wb") as file,
        pq.ParquetWriter(file, SCHEMA, **options) as writer,
    ):
        writer.write_table(pa.Table.from_pylist(records, SCHEMA))
        writer.add_key_value_metadata({METADATA_KEY: text})


def read_history(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows of a history's file as a data frame with `HistoryRow`'s fields, and the file's metadata.

    Raises `UsageError` if there is no file, and `FileFormatError` if it is not a history.
    """
    if not path.is_file():
        raise UsageError(f"there is no history {path}; `latlas search --out {path.parent}` writes one")
    if path.stat().st_size > MAX_BYTES:
        raise FileFormatError(f"{path} has more than {MAX_BYTES} bytes; that is no history")
    content = path.read_bytes()
    try:
        check_parquet(content)
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        about = parse_json((file.metadata.metadata or {})[METADATA_KEY], "what it is about")
        if about["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema version {about['schema_version']!r}; this Latlas reads {SCHEMA_VERSION}")
        if file.schema_arrow.remove_metadata() != SCHEMA:
            raise ValueError("its columns are not those of a history")
        frame: pd.DataFrame = file.read(use_threads=False).to_pandas()
    except (SuspectFileError, KeyError, TypeError, ValueError, OSError, pa.ArrowException) as error:
        raise FileFormatError(f"{path} is no history: {one_line(f'{error}', 200)}") from None
    return frame.astype({"measured": bool}), about
