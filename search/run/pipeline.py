"""`search`: supernet, predictor and budget -> a measured, trained, exported network and its comparison with a baseline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from latlas.errors import InterruptedRunError
from latlas.files.scratch import scratch_folder
from latlas.files.signals import stoppable
from latlas.files.write import write_json
from latlas.latency.machine.trouble import listening
from latlas.latency.predictor.predictor_file import save_predictor
from latlas.search.optuna.storage import require_storage, storage_named
from latlas.search.report.page import write_report
from latlas.search.run.comparison import compare_with_baseline, require_within
from latlas.search.run.explore import explore
from latlas.search.run.finalists import rank_by_training
from latlas.search.run.folder import RESULT, SUPERNET, RunFolder, open_run
from latlas.search.run.prepare import prepare
from latlas.search.run.result import result_record, with_learnt
from latlas.search.run.search_run import Listener, SearchRun, SearchTask, without_password
from latlas.supernet.data.checks import shared_images
from latlas.supernet.networks.weights_file import save_weights


def search(task: SearchTask, out: Path, listener: Listener | None = None) -> dict[str, Any]:
    """Run a search into the folder `out`, or continue the one that was begun there. The result is also in `out/result.json`.

    Every answer from outside the seeded code (scores, measurements, trainings) is written to `out/journal.jsonl` at once. After a
    kill, the same call continues from there and ends as the killed run would have.

    The winner's exported IR was measured and is within the budget; `certified` says whether its upper bound is too. The weights
    of the task do not change; with `config.alternating` a copy is trained.

    Raises:
        InfeasibleBudgetError: The budget is impossible. The message has the fastest and the slowest latency. It comes before
            anything is searched.
        LatlasError: No network kept the budget when measured.
        InterruptedRunError: Ctrl-C was pressed.
        EnvironmentMismatchError: A run with other options was begun in `out`.
    """
    require_storage(task.config, task.space)
    config = replace(task.config, baseline=task.config.baseline or task.space.default_baseline)
    scoring = task.scoring.to_be_trained(config.strategy) if config.alternating else task.scoring
    task = replace(task, config=config, scoring=scoring)
    shared = shared_images(task.training, task.validation)
    prepared = prepare(task)
    with (
        listening() as troubles,
        open_run(out, task.identity()) as opened,
        _resumable(opened),
        storage_named(config.storage),
        scratch_folder() as scratch,
    ):
        run = SearchRun(task, prepared, opened, listener or Listener(), scratch)
        if run.journal.recorded:
            run.note(f"going on with the search in {out}, from {run.journal.recorded} answers in its journal")
        if shared:
            run.note(f"warning: {shared}")
        explored = explore(run)
        trials = rank_by_training(run, explored.finalists)
        explored.file.add_trials(trials, run.journal.seconds())
        finalists = [trial.candidate for trial in trials] or explored.finalists
        winner, networks = compare_with_baseline(run, explored, finalists)
        searched, baseline, *rivals = networks
        constraint, seconds = explored.constraint, run.journal.seconds()
        constraint.confirm(winner.architecture, searched.interval)
        for one in networks:
            explored.file.add_final(one.architecture, one.quality.miou, one.interval, one.steps, seconds)
        explored.file.write()
        result = result_record(explored, winner, searched, baseline, rivals, finalists, trials) | {
            **scoring.record(),
            "supernet_steps": config.supernet_steps,
            "config": {**without_password(asdict(config)), "setting": asdict(task.setting), "data": task.data},
            "warnings": [*task.training.warnings, *task.validation.warnings, *([shared] if shared else [])],
            "predictor": str(out / "predictor"),
            "trained_supernet": str(out / SUPERNET) if config.alternating else None,
            "history": str(explored.file.path),
            "report": str(out / "report.html"),
            "seconds": seconds,
            "machine_warnings": list(troubles),
        }
        require_within(searched, constraint.budget_ms, out)
        if trained := explored.gradient if config.alternating else None:
            height, width = prepared.scored.images.shape[2:]
            metadata = {"steps": config.supernet_steps + trained.weight_steps, "height": height, "width": width}
            save_weights(scoring.supernet_of(config.strategy), out / SUPERNET, metadata)
        write_report(out / "report.html", result, explored.file.path, task.validation, [one.subnet for one in networks])
        # Written just before the result: if it replaces the predictor that the search began with, as in the demo, a run killed
        # after this line could not be resumed.
        save_predictor(out / "predictor", with_learnt(task.saved, constraint.learnt()), overwrite=True)
        write_json(out / RESULT, result, overwrite=True)
        opened.finished()
    return result


@contextmanager
def _resumable(run: RunFolder) -> Iterator[None]:
    """Delay Ctrl-C until nothing is half done, and then raise an error that says how to continue the run."""
    try:
        with stoppable():
            yield
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"the search is stopped; the same command, without --force, goes on from {run.path}"
        ) from None
