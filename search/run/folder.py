"""The folder of a run: its options, its journal, and its unfinished trainings. A killed run continues from it.

`config.json` is for people. The journal's first line has everything that decides the result, and a resumed run is compared with
it. Files are in it by the hash of their content, so that another supernet of the same name is noticed.
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
"""The predictor of quality, if the search learnt one."""
SUPERNET = "trained-supernet.safetensors"
"""The copy of the supernet, if the search trained one."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """An open run: the folder and its journal."""

    path: Path
    journal: RunJournal

    def training(self, name: str) -> Path:
        """The checkpoint's path for an unfinished training."""
        return self.path / TRAININGS / f"{name}.training"

    def finished(self) -> None:
        """Delete what only a resumed run needs. The journal stays, because the result was made from it."""
        shutil.rmtree(self.path / TRAININGS, ignore_errors=True)


@contextmanager
def open_run(out: Path, asked: Mapping[str, Any]) -> Iterator[RunFolder]:
    """The run with this identity in the folder `out`: a new one, or the one that was begun there.

    A run with an impossible budget leaves no files, so that the next run may have another budget. Raises
    `EnvironmentMismatchError`, which names the differences, if another run was begun there, and what `Journal` raises.
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
    """Delete the files that an earlier run left in the folder, so that a new run can begin, and return their names.

    Raises `LatlasError` if that run is still going on.
    """
    left = [name for name in (JOURNAL, CONFIG, HISTORY, RESULT, ACCURACY, SUPERNET) if (out / name).exists()]
    remove_journal(out / JOURNAL)
    for name in left:
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / TRAININGS, ignore_errors=True)
    return left
