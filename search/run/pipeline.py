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
    """Run a search into the folder `out`, or go on with the one that was begun there; its result, also `out/result.json`.

    What came from outside the seeded code (scores, measurements, trainings)
    is kept in `out/journal.jsonl` as it comes: after a kill the same call goes on from there, and ends as it would have.

    The winner's exported IR has been measured and is within the budget; `certified` says whether its upper bound is too.
    Raises `InfeasibleBudgetError` with the fastest and the slowest latency there is where the budget is impossible, before
    anything is searched; `LatlasError` where no network held the budget when measured; `InterruptedRunError` for Ctrl-C;
    `EnvironmentMismatchError` where what was begun in `out` was asked for something else.

    The weights of the task stay as they are: with `config.alternating` a copy is trained.
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
        # Last but the result: where it replaces the predictor that the search began with, as in the demo, a run killed
        # after it would not know itself again.
        save_predictor(out / "predictor", with_learnt(task.saved, constraint.learnt()), overwrite=True)
        write_json(out / RESULT, result, overwrite=True)
        opened.finished()
    return result


@contextmanager
def _resumable(run: RunFolder) -> Iterator[None]:
    """Hold Ctrl-C back until nothing is half done, and say then how the run goes on."""
    try:
        with stoppable():
            yield
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"the search is stopped; the same command, without --force, goes on from {run.path}"
        ) from None
