"""Records, in order, every answer that a run got from outside its seeded code: scores, measurements, trainings, the clock.

A search is seeded code plus answers from outside. So a killed run continues by running the same code again with the same answers.
Each question has a kind and a key. As long as the journal has answers, they are taken from it; the next question goes outside
again. Everything that a strategy keeps in memory is then the same, so no strategy needs to save itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from latlas.errors import FileFormatError, LatlasError
from latlas.files import signals as interrupt
from latlas.files.journal import Journal
from latlas.files.records import canonical_json, one_line, parse_json
from latlas.option import options_of
from latlas.search.config import SearchConfig

T = TypeVar("T")

ANEW = "or --force to begin anew"
_STOP = "stop"


class RunJournal:
    """The journal of a run. `ask` takes answers from it while it has any; later answers come from outside and are recorded.

    Args:
        path: The file. It is made if it does not exist. The last line of a killed run may be broken.
        header: Everything that decides the result, as JSON. A journal with another header is refused.

    Raises what `Journal` raises.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "journal.jsonl"
        >>> with RunJournal(path, {"seed": 0}) as journal:
        ...     journal.ask("score", "m3/m3", lambda: 0.5, float)
        0.5
        >>> with RunJournal(path, {"seed": 0}) as journal:
        ...     journal.ask("score", "m3/m3", lambda: 1 / 0, float), journal.replaying
        (0.5, False)
    """

    def __init__(self, path: Path, header: Mapping[str, object]) -> None:
        self._journal = Journal(path, {"run": "search", **header}, ANEW, _option_of)
        self._records = self._journal.records
        self._next = 0
        self._seconds = 0.0
        self._since = time.monotonic()
        self._stopped: set[str] = set()

    @property
    def path(self) -> Path:
        """The journal's file."""
        return self._journal.path

    @property
    def recorded(self) -> int:
        """How many answers the journal had when the run started; 0 for a new run."""
        return len(self._records)

    @property
    def replaying(self) -> bool:
        """Whether the journal has the next answer."""
        return self._next < len(self._records)

    @property
    def next_kind(self) -> str | None:
        """The kind of the next recorded answer; None if there is none."""
        return str(self._records[self._next].get("kind")) if self.replaying else None

    def seconds(self) -> float:
        """How many seconds the run has taken, over all its parts. Time after the last answer of a killed part does not count."""
        return self._seconds + (0.0 if self.replaying else time.monotonic() - self._since)

    def ask(self, kind: str, key: object, answer: Callable[[], Any], read: Callable[[Any], T]) -> T:
        """The answer to a question, from the journal or else from `answer()`, after it went through `read`.

        The value of `answer` is JSON, and it is on disk when this returns. `read` gets it as the journal would give it back.

        Args:
            kind: The kind of question, such as `score`.
            key: The subject, a text or a list. A journal with another question here was written by other code.
            answer: Gets the answer from outside. Ctrl-C is handled before it, not in the middle of writing.
            read: Checks and converts the answer. It raises `ValueError` for a value that is no answer of this kind.

        Raises:
            FileFormatError: The journal has another question here, or a broken answer.
        """
        if self.replaying:
            value = self._take(kind, key)["value"]
        else:
            interrupt.check()
            value = answer()
            self._append({"kind": kind, "key": key, "value": value})
            value = parse_json(canonical_json(value), kind)
        try:
            return read(value)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            if isinstance(error, LatlasError) and not isinstance(error, FileFormatError):
                raise
            broken = one_line(f"{type(error).__name__}: {error}", 160)
            raise FileFormatError(f"{self.path}: a broken {kind}: {broken}; say --force to begin anew") from None

    def over(self, what: str, limit_s: float | None, since_s: float) -> bool:
        """Whether more than `limit_s` seconds have passed since the run was at `since_s`, for a part `what` of the run.

        The first True is recorded, so that a resumed run stops at the same place. Later calls are True too.
        """
        if what in self._stopped or limit_s is None:
            return what in self._stopped
        if self.replaying:
            if self.next_kind != _STOP:
                return False
            self._take(_STOP, what)
        elif self.seconds() - since_s <= limit_s:
            return False
        else:
            self._append({"kind": _STOP, "key": what, "value": None})
        self._stopped.add(what)
        return True

    def _append(self, record: dict[str, object]) -> None:
        self._journal.append({**record, "seconds": round(self.seconds(), 3)})

    def _take(self, kind: str, key: object) -> dict[str, Any]:
        record = self._records[self._next]
        if (record.get("kind"), record.get("key")) != (kind, key) or "value" not in record:
            found = one_line(f"{record.get('kind')} of {record.get('key')}", 160)
            raise FileFormatError(
                f"{self.path}, answer {self._next + 1}, is {found}, where this run asks for "
                f"{one_line(f'{kind} of {key}', 160)}: another version of Latlas or of its libraries began it, or another "
                "kind of CPU; go on with those, or say --force to begin anew"
            )
        seconds = record.get("seconds")
        if not isinstance(seconds, float | int) or not self._seconds <= seconds < float("inf"):
            raise FileFormatError(
                f"{self.path}, answer {self._next + 1}: {seconds!r} seconds, which cannot be; say --force to begin anew"
            )
        self._next += 1
        self._seconds = float(seconds)
        self._since = time.monotonic()
        return record

    def __enter__(self) -> RunJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._journal.close()


def _option_of(name: str) -> str:
    """The option of `search` that sets a field of the header; empty if no single option does."""
    known = options_of(SearchConfig).items()
    options = {f"asked.{field}": f"--{(about.name or field).replace('_', '-')}" for field, about in known}
    options |= {"setting.rule.relative_half_width": "--relative-error", "data.name": "--data"}
    return options.get(name, "")


def share(value: object) -> float:
    """A recorded quality. Raises `ValueError` for a value that is not a number in 0..1."""
    if not isinstance(value, float | int) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is no quality from 0 to 1")
    return float(value)
