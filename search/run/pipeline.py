"""`search`: supernet, predictor and budget -> a measured, trained, exported network and its comparison with a baseline."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from latlas.errors import InterruptedRunError
from latlas.files.scratch import scratch_folder
from latlas.files.signals import stoppable
from latlas.files.write import write_json
from latlas.latency.measuring.profile import Setting
from latlas.latency.predictor.predictor_file import SavedPredictor, save_predictor
from latlas.search.config import SearchConfig
from latlas.search.report.page import write_report
from latlas.search.run.explore import explore
from latlas.search.run.finalists import Trainer, rank_anew
from latlas.search.run.folder import RESULT, SUPERNET, RunFolder, identity, open_run, without_password
from latlas.search.run.listener import Listener
from latlas.search.run.outcome import contest, require_within, result_record, with_learnt
from latlas.search.run.prepare import prepare
from latlas.search.run.proxy import ProxyTask
from latlas.search.run.score import require_supernet, scored_by
from latlas.search.run.storage import require_storage, storage_named
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.data.dataset import Dataset
from latlas.supernet.networks.network import Supernet
from latlas.supernet.networks.weights_file import save_weights


def search(
    saved: SavedPredictor,
    weights: Supernet | ProxyTask,
    training: Dataset,
    validation: Dataset,
    out: Path,
    setting: Setting,
    config: SearchConfig,
    augmentation: Augmentation | None = None,
    listener: Listener | None = None,
    data: str = "",
) -> dict[str, Any]:
    """Run a search into the folder `out`, or go on with the one that was begun there; its result, also `out/result.json`.

    `data` is what the data sets are called in it. What came from outside the seeded code (scores, measurements, trainings)
    is kept in `out/journal.jsonl` as it comes: after a kill the same call goes on from there, and ends as it would have.

    The winner's exported IR has been measured and is within the budget; `certified` says whether its upper bound is too.
    Raises `InfeasibleBudgetError` with the fastest and the slowest latency there is where the budget is impossible, before
    anything is searched; `LatlasError` where no network held the budget when measured; `InterruptedRunError` for Ctrl-C;
    `EnvironmentMismatchError` where what was begun in
    `out` was asked for something else. `weights` stay as they are: with `config.alternating` a copy is trained.
    """
    listener = listener or Listener()
    require_storage(config, weights.space)
    config = replace(config, baseline=config.baseline or weights.space.default_baseline)
    if config.alternating:
        weights = copy.deepcopy(require_supernet(weights, config.strategy))
    prepared = prepare(saved, weights, training, setting, config)
    asked = identity(saved, weights, training, validation, setting, config, augmentation, data)
    with open_run(out, asked) as run, _resumable(run), storage_named(config.storage), scratch_folder() as folder:
        if run.journal.recorded:
            listener.on_note(f"going on with the search in {out}, from {run.journal.recorded} answers in its journal")
        explored = explore(run, saved, weights, prepared, setting, config, augmentation, listener, folder)
        trainer = Trainer(run, augmentation, listener)
        trials = rank_anew(explored.finalists, trainer, prepared, config)
        explored.file.add_trials(trials, run.journal.seconds())
        finalists = [trial.candidate for trial in trials] or explored.finalists
        winner, networks = contest(explored, finalists, trainer, prepared, weights, training, validation, config)
        searched, baseline, *rivals = networks
        constraint, seconds = explored.constraint, run.journal.seconds()
        constraint.confirm(winner.architecture, searched.interval)
        for one in networks:
            explored.file.add_final(one.architecture, one.quality.miou, one.interval, one.steps, seconds)
        explored.file.write()
        result = result_record(explored, winner, searched, baseline, rivals, finalists, trials) | {
            **scored_by(weights),
            "supernet_steps": config.supernet_steps,
            "config": {**without_password(asdict(config)), "setting": asdict(setting), "data": data},
            "predictor": str(out / "predictor"),
            "trained_supernet": str(out / SUPERNET) if config.alternating else None,
            "history": str(explored.file.path),
            "report": str(out / "report.html"),
            "seconds": seconds,
        }
        require_within(searched, constraint.budget_ms, out)
        if trained := explored.gradient if config.alternating else None:
            height, width = prepared.scored.images.shape[2:]
            metadata = {"steps": config.supernet_steps + trained.weight_steps, "height": height, "width": width}
            save_weights(require_supernet(weights, config.strategy), out / SUPERNET, metadata)
        write_report(out / "report.html", result, explored.file.path, validation, [one.subnet for one in networks])
        # Last but the result: where it replaces the predictor that the search began with, as in the demo, a run killed
        # after it would not know itself again.
        save_predictor(out / "predictor", with_learnt(saved, constraint.learnt()), overwrite=True)
        write_json(out / RESULT, result, overwrite=True)
        run.finished()
    return result


@contextmanager
def _resumable(run: RunFolder) -> Iterator[None]:
    """Hold Ctrl-C back until nothing is half done, and say then how the run goes on."""
    try:
        with stoppable():
            yield
    except KeyboardInterrupt:
        raise InterruptedRunError(f"the search is stopped; the same command goes on from {run.path}") from None
