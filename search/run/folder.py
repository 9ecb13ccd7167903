"""The folder of a run: what it was asked for, its journal, its trainings under way; a killed run goes on there.

`config.json` is for people, the journal's first line is what a run is held against: everything that decides the result,
files by the hash of what they hold, so that another supernet of the same name is noticed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latlas.errors import InfeasibleBudgetError
from latlas.files.journal import remove_journal
from latlas.files.write import write_json
from latlas.search.report.history_name import FILE_NAME
from latlas.search.run.journal import RunJournal

CONFIG, JOURNAL, HISTORY, RESULT, TRAININGS = "config.json", "journal.jsonl", FILE_NAME, "result.json", "trainings"
ACCURACY = "accuracy.safetensors"
"""The predictor of quality that the search learnt, where it was asked to."""
SUPERNET = "trained-supernet.safetensors"
"""The copy of the supernet that the search trained, where it was asked to."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """An open run: the folder and its journal."""

    path: Path
    journal: RunJournal

    def training(self, name: str) -> Path:
        """Where a training under way is kept."""
        return self.path / TRAININGS / f"{name}.training"

    def finished(self) -> None:
        """Forget what only going on needs, but the journal, which is what the result was made of."""
        shutil.rmtree(self.path / TRAININGS, ignore_errors=True)


@contextmanager
def open_run(out: Path, asked: Mapping[str, Any]) -> Iterator[RunFolder]:
    """The run of this identity in the folder `out`: a new one, or the one that was begun there.

    A run that finds its budget impossible leaves nothing: the next may ask for another. Raises `EnvironmentMismatchError`,
    which names what differs, where another run was begun there, and what `Journal` raises.
    """
    try:
        with RunJournal(out / JOURNAL, asked) as journal:
            if not journal.recorded:
                write_json(out / CONFIG, asked, overwrite=True)
            run = RunFolder(out, journal)
            run.training("").parent.mkdir(exist_ok=True)
            yield run
    except InfeasibleBudgetError:
        if not (out / HISTORY).exists():
            discard(out)
        raise


def discard(out: Path) -> list[str]:
    """Delete what an earlier run left in the folder, so that another begins anew; returns the names of the deleted files.

    Raises `LatlasError` where that run is still going on.
    """
    left = [name for name in (JOURNAL, CONFIG, HISTORY, RESULT, ACCURACY, SUPERNET) if (out / name).exists()]
    remove_journal(out / JOURNAL)
    for name in left:
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / TRAININGS, ignore_errors=True)
    return left
