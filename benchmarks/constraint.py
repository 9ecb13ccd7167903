"""Whether budgets are kept and used: compares the constraint with the filters that people use, in the same searches.

    python benchmarks/constraint.py --predictor DIR [--budgets 15] [--seeds 2] [--samples FILE.json]
    python benchmarks/constraint.py --dry

Budgets run from the 10th to the 90th percentile of the predicted latency of random networks. For each budget and seed, an
evolutionary search maximises a stand-in for quality: multiply-adds and a random taste for operators. It runs under `latlas`
(the constraint, whose finalists are verified), `filter` (prediction at most the budget), `table_sum` (the plain sum of
isolated latencies), and `table_sum_scaled` (the sum times the median ratio of the subnets that the predictor learnt from). All
four skip networks that seem to use less than 0.97 of the budget. The returned networks are measured again, all in turn, in a
new process. Milliseconds are the predictor's: each session measures some subnets that it knows. `--samples` keeps measurements
and uses them again. `--dry` simulates machine and predictor; that tests this program and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import latlas.spaces.portrait  # noqa: F401  (registers the space)
from latlas.errors import InfeasibleBudgetError
from latlas.files.scratch import scratch_folder
from latlas.latency.fitting.anchors import Anchors
from latlas.latency.limits.limits import limits_of
from latlas.latency.measuring.interval import Interval
from latlas.latency.measuring.profile import Setting
from latlas.latency.predictor.features import unit_cost
from latlas.latency.predictor.predictor import LatencyPredictor, Prediction
from latlas.latency.predictor.predictor_file import load_predictor
from latlas.search.constraint.constraint import HasGraph, LatencyConstraint
from latlas.search.constraint.verify import select
from latlas.search.make import make_strategy
from latlas.search.run.campaigns import Campaigns
from latlas.search.run.session import Session
from latlas.search.strategies.loop import run_search
from latlas.spaces.graph import live_nodes
from latlas.spaces.space import Architecture, SearchSpace
from latlas.spaces.text import parse_architecture, parse_space
from latlas.supernet.operators.build import timing_operator

# Appended, not put first: the folders of this repository are called as other people's modules are.
sys.path.append(str(Path(__file__).resolve().parent.parent))
from benchmarks.simulated import SimulatedMachine

Measure = Callable[[Sequence[Any], int], list[Interval | None]]
USE, DRY_TRAIN = 0.97, 100
METHODS = ("latlas", "filter", "table_sum", "table_sum_scaled")


@dataclass
class Known:
    """A predictor, its space, the plain sum of a network, and the factor from this sum to measured subnets."""

    predictor: LatencyPredictor
    space: SearchSpace
    sum_ms: Callable[[HasGraph], float]
    sum_factor: float
    setting: Setting
    scales: list[tuple[float, float]]
    """How far each campaign was off the session's first, and the standard error of the first."""
    open: Callable[[int], Any]
    """A context with a session of its own, which gives `(measure, scale error)` in the predictor's milliseconds."""


def known_of(arguments: argparse.Namespace) -> Known:
    """The subject that the options ask for: the saved predictor here, or a simulated one."""
    if arguments.dry:
        return simulated(arguments.space)
    saved = load_predictor(arguments.predictor)
    space, environment = saved.space, saved.environment
    cost_of = saved.predictor.cost_of
    if cost_of is None:
        sys.exit(
            f"{arguments.predictor} was learnt without a table, whose sums are compared with; fit one with --table"
        )

    def sum_ms(one: HasGraph) -> float:
        graph = one.graph()
        return sum(cost_of(graph[index].spec) for index in live_nodes(graph))

    setting = Setting(precision=environment.precision, threads=environment.threads or 1, passes=arguments.passes)

    scales: list[tuple[float, float]] = []

    @contextmanager
    def opened(seed: int) -> Iterator[tuple[Measure, float]]:
        with scratch_folder() as folder:
            library, campaigns = setting.library(folder, timing_operator), Campaigns(setting)
            known = Anchors(saved, library.describe)
            found = campaigns.measure_all(known.networks, passes=setting.careful_passes, seed=seed)
            environment = campaigns.environment
            scale, error = known.open(found, environment.session_reference_ms, setting.rule)
            known.scales = scales
            session = Session(campaigns, library, setting, environment, known)

            def measure(architectures: Sequence[Any], passes: int) -> list[Interval | None]:
                return [
                    one and Interval(one.latency_ms / scale, one.lower_ms / scale, one.upper_ms / scale)
                    for one in session.measure(architectures, passes)
                ]

            yield measure, error

    learnt = [one for one in saved.samples if one.role == "train"]
    ratios = [one.latency_ms / sum_ms(parse_architecture(one.architecture, space)) for one in learnt]
    return Known(saved.predictor, space, sum_ms, float(np.median(ratios)), setting, scales, opened)


def simulated(text: str) -> Known:
    """A simulated machine and a predictor learnt from readings of it."""
    machine, space = SimulatedMachine(0), parse_space(text)
    train = space.sample(DRY_TRAIN, np.random.default_rng(0))
    took = [one.latency_ms for one in machine.session(0).measure(train) if one]
    predictor = LatencyPredictor(campaign_sd=0.003).fit([one.graph() for one in train], took)

    def sum_ms(one: HasGraph) -> float:
        graph = one.graph()
        return sum(unit_cost(graph[index].spec) for index in live_nodes(graph))

    @contextmanager
    def opened(seed: int) -> Iterator[tuple[Measure, float]]:
        yield machine.session(1 + seed, session_sd=0.002).measure, 0.003

    ratios = [ms / sum_ms(one) for one, ms in zip(train, took, strict=True)]
    return Known(predictor, space, sum_ms, float(np.median(ratios)), Setting(), [], opened)


@dataclass
class Points:
    """An estimate without an interval, as a predictor."""

    ms_of: Callable[[Sequence[HasGraph]], Any]

    def predict_interval(self, X: Sequence[Any], confidence: float = 0.95) -> list[Prediction]:
        return [Prediction(ms, ms, ms) for ms in map(float, self.ms_of([Bare(graph) for graph in X]))]


@dataclass(frozen=True)
class Bare:
    """A graph as something that has one."""

    nodes: Any

    def graph(self) -> Any:
        return self.nodes


@dataclass
class Samples:
    """Measures networks that are not in the file, and adds them."""

    path: Path | None
    measure_all: Measure
    found: dict[str, list[float]] = field(default_factory=dict)
    measured: int = 0

    def __post_init__(self) -> None:
        if self.path is not None and self.path.exists():
            self.found = json.loads(self.path.read_text(encoding="utf-8"))

    def __call__(self, architectures: Sequence[Architecture], passes: int) -> list[Interval | None]:
        """Readings with this many passes."""
        new = [one for one in architectures if f"{passes} {one}" not in self.found]
        self.measured += len(new)
        for one, interval in zip(new, self.measure_all(new, passes) if new else [], strict=True):
            if interval is not None:
                self.found[f"{passes} {one}"] = [interval.latency_ms, interval.lower_ms, interval.upper_ms]
        if self.path is not None and new:
            temporary = self.path.with_name(f".{self.path.name}.partial")
            temporary.write_text(json.dumps(self.found), encoding="utf-8")
            temporary.replace(self.path)
        known = (self.found.get(f"{passes} {one}") for one in architectures)
        return [Interval(*values) if values else None for values in known]


def one_search(
    method: str, known: Known, budget_ms: float, seed: int, fastest: Architecture, measure: Samples, error: float,
    arguments: argparse.Namespace,
) -> dict[str, Any]:  # fmt: skip
    """The networks that a method returns, best first, and their cost."""
    space, started, before = known.space, time.monotonic(), measure.measured
    taste = np.random.default_rng([seed, 1]).random((len(space.choices), max(map(len, space.choices))))
    macs = float(np.mean([one.macs for one in space.cover()]))

    def quality(one: Architecture) -> float:
        codes = space.encode([one])[0]
        return float(taste[np.arange(len(codes)), codes].mean() + one.macs / macs)

    factor = known.sum_factor if method == "table_sum_scaled" else 1.0
    estimates: dict[str, Any] = {
        "latlas": known.predictor,
        "filter": Points(lambda some: known.predictor.latency_ms([one.graph() for one in some])),
    }
    constraint = LatencyConstraint(
        estimates.get(method, Points(lambda some: [factor * known.sum_ms(one) for one in some])),
        budget_ms,
        measure_all=(lambda some: measure(some, arguments.passes)) if method == "latlas" else None,  # type: ignore[arg-type]
        max_measurements=arguments.max_measurements,
        least_chance=0.1,
        scale_error=error if method == "latlas" else 0.0,
    )
    strategy = make_strategy("evolution", space, np.random.default_rng(seed), arguments.evaluations)
    try:
        history = run_search(
            strategy,
            constraint,
            quality,
            arguments.evaluations,
            start=(fastest,),
            floor_ms=USE * budget_ms,
            max_draws=arguments.draws,
        )
        ranked = [one.architecture for one in history.ranked()]
    except InfeasibleBudgetError:
        ranked = []
    if method == "latlas":
        careful = known.setting.careful_passes
        ranked = [
            one.architecture
            for one in select(constraint, ranked, arguments.finalists, lambda some: measure(some, careful))
        ]
    return {
        "method": method, "budget_ms": budget_ms, "seed": seed, "returned": [str(one) for one in ranked[: arguments.returned]],
        "measured": measure.measured - before, "seconds": time.monotonic() - started,
        "constraint": constraint.report() if method == "latlas" else None,
    }  # fmt: skip


def summary(runs: Sequence[dict[str, Any]], again: dict[str, list[float]]) -> dict[str, Any]:
    """Violations and unused budget of a method's runs; shares are fractions of the budget."""
    shares = [[again[one][0] / run["budget_ms"] for one in run["returned"] if one in again] for run in runs]
    everything, best = [s for row in shares for s in row], [row[0] for row in shares if row]
    within = [1 - share for share in best if share <= 1]
    surely = [again[one][1] > run["budget_ms"] for run in runs for one in run["returned"] if one in again]
    return {
        "runs": len(runs),
        "returned_nothing": sum(not row for row in shares),
        "returned": len(everything),
        "violations": sum(share > 1 for share in everything),
        "violations_beyond_the_interval": sum(surely),
        "worst_over": max([0.0, *(share - 1 for share in everything)]),
        "unused_median": float(np.median(within)) if within else None,
        "unused_worst": max(within) if within else None,
        "measured": sum(run["measured"] for run in runs),
        "seconds": sum(run["seconds"] for run in runs),
    }


def measured_again(script: str, runs: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """Milliseconds and bounds of the returned networks, measured by a new process of this script (`--again`)."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder) / "asked.json", Path(folder) / "answer.json"
        asked.write_text(json.dumps(sorted({one for run in runs for one in run["returned"]})), encoding="utf-8")
        subprocess.run([sys.executable, "-P", script, *sys.argv[1:], "--again", str(asked), str(answer)], check=True)
        found: dict[str, list[float]] = json.loads(answer.read_text(encoding="utf-8"))
    return found


def answer_again(known: Known, asked: Path, answer: Path, passes: int) -> None:
    """The new process's side of `measured_again`."""
    names = json.loads(asked.read_text(encoding="utf-8"))
    with known.open(1) as (measure, _):
        found = measure([parse_architecture(one, known.space) for one in names], passes)
    values = {one: [i.latency_ms, i.lower_ms, i.upper_ms] for one, i in zip(names, found, strict=True) if i}
    answer.write_text(json.dumps(values), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictor", type=Path)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--space", default="portrait", help="of --dry")
    parser.add_argument("--budgets", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument(
        "--draws", type=int, default=3000, help="in a row without a candidate, after which a search ends"
    )
    parser.add_argument("--max-measurements", type=int, default=20)
    parser.add_argument("--passes", type=int, default=6)
    parser.add_argument("--finalists", type=int, default=6, help="measured at once, with twice the passes")
    parser.add_argument("--returned", type=int, default=1, help="networks that a search returns")
    parser.add_argument("--samples", type=Path)
    parser.add_argument(
        "--again", type=Path, nargs=2, help="internal: measure the architectures of a file into another"
    )
    arguments = parser.parse_args()
    if (arguments.predictor is None) != arguments.dry:
        parser.error("give --predictor DIR, or --dry")
    known = known_of(arguments)
    if arguments.again:
        asked, answer = arguments.again
        answer_again(known, asked, answer, known.setting.careful_passes)
        return
    drawn = known.space.sample(min(2000, known.space.size), np.random.default_rng(0))
    spread = known.predictor.latency_ms([one.graph() for one in drawn])
    fastest, runs = limits_of(known.predictor, known.space).fastest, []
    with known.open(0) as (measure, error):
        samples = Samples(arguments.samples, measure)
        for budget_ms in np.quantile(spread, np.linspace(0.1, 0.9, arguments.budgets)):
            for seed in range(arguments.seeds):
                for method in METHODS:
                    runs.append(one_search(method, known, float(budget_ms), seed, fastest, samples, error, arguments))
                print(f"{budget_ms:.3f} ms, seed {seed}: {samples.measured} measured", file=sys.stderr)
    again = measured_again(__file__, runs)
    result = {method: summary([run for run in runs if run["method"] == method], again) for method in METHODS}
    print(
        json.dumps(
            {
                "simulated": arguments.dry,
                "setting": asdict(known.setting),
                **result,
                "scales": known.scales,
                "runs": runs,
                "again": again,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
