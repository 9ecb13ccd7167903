"""Compares all search strategies on one supernet, budget and number of scored networks, with and without the hard constraint.

    python benchmarks/strategies.py --supernet FILE --predictor DIR --data FOLDER --scores FILE.jsonl [--samples FILE.json]
    python benchmarks/strategies.py --dry

Each method searches once a seed. `NAME` is the strategy of that name under the constraint, its finalists verified;
`NAME+filter` the same strategy with a bare filter: predicted milliseconds at most the budget, nothing measured; `accuracy`
is evolution over a learnt predictor of quality; `proxyless` trains a distribution by gates on feasible networks alone, and
`proxyless+soft` with a latency loss instead, of which each layer's most probable operator is returned. What each returns is
measured again, all in turn, in a new process: violations are of that. `miou` is the supernet's score that the search went
by, `held_out_miou` that on validation images. A score is a function of the network, so methods and seeds share them in
`--scores`; `seconds` counts each as often as a method asked for it. Differences to `random` are paired by seed, intervals
are Student's over seeds. A finished run is a line of `--runs` and is not done again. `--dry` simulates the machine and scores
with a supernet that has learnt nothing: a test of this program.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from latlas.errors import InfeasibleBudgetError
from latlas.latency.limits.limits import additive, limits_of
from latlas.latency.measuring.interval import Interval
from latlas.search.accuracy.models import KINDS
from latlas.search.accuracy.search import AccuracySearchConfig, accuracy_search
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.constraint.verify import select
from latlas.search.gradient.proxyless import DISTRIBUTIONS
from latlas.search.make import make_strategy
from latlas.search.strategies.loop import History, run_search
from latlas.search.strategies.names import STRATEGIES
from latlas.search.strategies.strategy import StrategyContext
from latlas.spaces.space import Architecture

# Appended, not put first: the folders of this repository are called as other people's modules are.
sys.path.append(str(Path(__file__).resolve().parent.parent))
from benchmarks.constraint import Known, Points, Samples, answer_again, known_of, measured_again
from benchmarks.gradient import SOFT, Gradient, required_terms, soft_winner, trained
from benchmarks.kept_lines import KeptLines
from benchmarks.scores import Scores, scores_of, summary

DRY_SPACE = "portrait:resolution=32,stem_channels=8,widths=8.8.16.16,depths=1.2.1.1,decoder_channels=8,aspp_channels=8"
FILTER = "+filter"
LEAST_CHANCE = 0.1
# Options that change what one run does.
OF_A_RUN = (
    "space", "evaluations", "predicted", "kinds", "gradient_steps", "arch_learning_rate", "batch_size", "soft_strength",
    "draws", "min_use", "max_measurements", "passes", "finalists", "returned",
)  # fmt: skip


class Counted:
    """Measures through the kept samples, and counts what was asked for, kept or not."""

    def __init__(self, samples: Samples) -> None:
        self.samples, self.asked = samples, 0

    def __call__(self, architectures: Sequence[Any], passes: int) -> list[Interval | None]:
        self.asked += len(architectures)
        return self.samples(architectures, passes)


def constraint_of(
    known: Known, budget_ms: float, filtered: bool, measure: Counted, error: float, arguments: argparse.Namespace
) -> LatencyConstraint:
    """The hard constraint, or a bare filter: predictions without intervals, and no measurements."""
    if filtered:
        points = Points(lambda some: known.predictor.latency_ms([one.graph() for one in some]))
        return LatencyConstraint(points, budget_ms, scale_error=0.0)
    return LatencyConstraint(
        known.predictor,
        budget_ms,
        measure_all=lambda some: measure(some, arguments.passes),
        max_measurements=arguments.max_measurements,
        least_chance=LEAST_CHANCE,
        scale_error=error,
    )


def searched(
    name: str, known: Known, constraint: LatencyConstraint, scores: Scores, seed: int, fastest: Architecture,
    arguments: argparse.Namespace,
) -> History:  # fmt: skip
    """The history of one search; each method scores as many networks."""
    space, count, budget_ms = known.space, arguments.evaluations, constraint.budget_ms
    context = StrategyContext(terms=additive(known.predictor, space), budget_ms=budget_ms)
    floor_ms, start = arguments.min_use * budget_ms, (fastest,)
    if name == "accuracy":
        learn = round(0.7 * count)
        config = AccuracySearchConfig(
            learn, count - learn, predicted=arguments.predicted, seed=seed, kinds=tuple(arguments.kinds)
        )
        return accuracy_search(
            make_strategy("random", space, np.random.default_rng(seed), learn),
            lambda size: make_strategy("evolution", space, np.random.default_rng([seed, 1]), size),
            constraint,
            scores,
            space,
            config,
            start=start,
            floor_ms=floor_ms,
            max_draws=arguments.draws,
        ).history
    if name in DISTRIBUTIONS:
        terms = required_terms(name, known)
        distribution = trained(name, terms, budget_ms, seed, gradient_of(scores, arguments))
        context = replace(context, distribution=distribution)
    strategy = make_strategy(name, space, np.random.default_rng(seed), count, context=context)
    return run_search(
        strategy, constraint, scores, count, start=start, floor_ms=floor_ms, max_draws=arguments.draws
    )  # fmt: skip


def gradient_of(scores: Scores, arguments: argparse.Namespace) -> Gradient:
    """The setting that gradient methods train with."""
    steps, strength = arguments.gradient_steps, arguments.soft_strength
    rate = arguments.arch_learning_rate
    return Gradient(scores.supernet, scores.rest, steps, rate, arguments.batch_size, strength)


def soft_run(
    method: str, known: Known, budget_ms: float, seed: int, scores: Scores, arguments: argparse.Namespace
) -> dict[str, Any]:
    """As `one_run`, of a gradient method with the latency in its loss."""
    started, terms = time.monotonic(), required_terms(method, known)
    winner = soft_winner(method.removesuffix(SOFT), terms, budget_ms, seed, gradient_of(scores, arguments))
    seconds = time.monotonic() - started
    return {
        "method": method, "budget_ms": budget_ms, "seed": seed, "returned": [str(winner)], "miou": scores(winner),
        "held_out_miou": scores.of_held_out(winner), "evaluated": 0, "measured": 0, "seconds": seconds,
    }  # fmt: skip


def one_run(
    method: str, known: Known, budget_ms: float, seed: int, fastest: Architecture, samples: Samples, error: float,
    scores: Scores, arguments: argparse.Namespace,
) -> dict[str, Any]:  # fmt: skip
    """The networks that a method returns, best first, and their cost."""
    if method.endswith(SOFT):
        return soft_run(method, known, budget_ms, seed, scores, arguments)
    filtered, measure, started, scoring = method.endswith(FILTER), Counted(samples), time.monotonic(), scores.seconds
    constraint = constraint_of(known, budget_ms, filtered, measure, error, arguments)
    before = len(scores.kept.found)
    try:
        history = searched(method.removesuffix(FILTER), known, constraint, scores, seed, fastest, arguments)
        ranked = [one.architecture for one in history.ranked()]
    except InfeasibleBudgetError:
        history, ranked = History(), []
    evaluated = len(ranked)
    if not filtered and ranked:
        careful: Callable[[Sequence[Any]], list[Interval | None]] = lambda some: measure(  # noqa: E731
            some, min(4 * arguments.passes, 24)
        )
        ranked = [one.architecture for one in select(constraint, ranked, arguments.finalists, careful)]
    returned = ranked[: arguments.returned]
    took, own = time.monotonic() - started, scores.seconds - scoring
    fresh = sum(record["seconds"] for record in list(scores.kept.found.values())[before:])
    return {
        "method": method, "budget_ms": budget_ms, "seed": seed, "returned": [str(one) for one in returned],
        "miou": scores(returned[0]) if returned else None,
        "held_out_miou": scores.of_held_out(returned[0]) if returned else None,
        "evaluated": evaluated, "measured": measure.asked, "decided_by_measuring": constraint.counts.measured,
        "filtered": history.filtered, "unused": history.unused, "repeats": history.repeats,
        "seconds": max(took - fresh, 0.0) + own,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--supernet", type=Path)
    parser.add_argument("--predictor", type=Path)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--space", default=DRY_SPACE, help="of --dry")
    parser.add_argument("--data", default="synthetic", help="a folder, or synthetic")
    parser.add_argument("--images", type=int, default=2000, help="how many synthetic ones")
    parser.add_argument("--budgets-ms", type=float, nargs="*", help="default: what half of random networks are within")
    parser.add_argument("--methods", nargs="*", help="default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--predicted", type=int, default=2000, help="evaluations of `accuracy` over predicted quality")
    parser.add_argument(
        "--kinds", nargs="*", default=list(KINDS), help="predictors of quality that `accuracy` chooses from"
    )
    parser.add_argument("--gradient-steps", type=int, default=500)
    parser.add_argument("--arch-learning-rate", type=float, default=0.01)
    parser.add_argument("--batch-size", type=int, default=16, help="of gradient steps")
    parser.add_argument("--soft-strength", type=float, default=0.2, help="of the latency loss, at the budget")
    parser.add_argument(
        "--draws", type=int, default=5000, help="in a row without a candidate, after which a search ends"
    )
    parser.add_argument("--min-use", type=float, default=0.9)
    parser.add_argument("--max-measurements", type=int, default=30)
    parser.add_argument("--passes", type=int, default=6)
    parser.add_argument("--finalists", type=int, default=9, help="measured at once, with four times the passes")
    parser.add_argument("--returned", type=int, default=1, help="networks that a search returns")
    parser.add_argument("--score-images", type=int, default=600)
    parser.add_argument("--calibration-images", type=int, default=64)
    parser.add_argument("--val-images", type=int, default=0, help="0 for all")
    parser.add_argument("--scores", type=Path, help="keeps the supernet's scores")
    parser.add_argument("--samples", type=Path, help="keeps what was measured")
    parser.add_argument("--runs", type=Path, help="keeps finished runs")
    parser.add_argument(
        "--again", type=Path, nargs=2, help="internal: measure the architectures of a file into another"
    )
    arguments = parser.parse_args()
    if arguments.dry == (arguments.predictor is not None and arguments.supernet is not None):
        parser.error("give --supernet FILE and --predictor DIR, or --dry")
    known = known_of(arguments)
    if arguments.again:
        asked, answer = arguments.again
        answer_again(known, asked, answer, min(4 * arguments.passes, 24))
        return
    hard = (*STRATEGIES, "accuracy")
    usual = tuple(f"{one}{FILTER}" for one in STRATEGIES) + tuple(f"{one}{SOFT}" for one in DISTRIBUTIONS)
    methods = arguments.methods or [*hard, *usual]
    unknown = [one for one in methods if one not in (*hard, *usual)]
    if unknown:
        parser.error(f"unknown methods {', '.join(unknown)}; known: {', '.join((*hard, *usual))}")
    drawn = known.space.sample(min(2000, known.space.size), np.random.default_rng(0))
    budgets = arguments.budgets_ms or [float(np.median(known.predictor.latency_ms([one.graph() for one in drawn])))]
    scores, fastest, runs = scores_of(arguments, known), limits_of(known.predictor, known.space).fastest, []
    changes = {name: getattr(arguments, name) for name in OF_A_RUN}
    kept = KeptLines(arguments.runs, {"scores": scores.kept.setting, "predictor": str(arguments.predictor), **changes})
    with known.open(0) as (measure, error):
        samples = Samples(arguments.samples, measure)
        for budget_ms in budgets:
            for seed in range(arguments.seeds):
                for method in methods:
                    last = kept.get(
                        method,
                        f"{budget_ms} ms, seed {seed}",
                        lambda method=method, budget_ms=budget_ms, seed=seed: one_run(  # type: ignore[misc]
                            method, known, budget_ms, seed, fastest, samples, error, scores, arguments
                        ),
                    )
                    runs.append(last)
                    print(
                        f"{budget_ms:.3f} ms, seed {seed}, {method}: {last['miou']}, {last['evaluated']} scored, "
                        f"{last['measured']} measured, {last['seconds']:.0f} s",
                        file=sys.stderr,
                        flush=True,
                    )
    again = measured_again(__file__, runs)
    against = [run for run in runs if run["method"] == "random"]
    result: dict[str, Any] = {
        "simulated": arguments.dry, "evaluations": arguments.evaluations, "seeds": arguments.seeds, "budgets_ms": budgets,
        "setting": {"passes": arguments.passes, "finalists": arguments.finalists, "min_use": arguments.min_use},
        "methods": {m: summary([run for run in runs if run["method"] == m], again, against) for m in methods},
        "runs": runs, "again": again,
    }  # fmt: skip
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
