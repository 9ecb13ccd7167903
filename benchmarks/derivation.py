"""Draws and derives architectures within a budget: exactness, bias, speed, and the result of each derivation.

    python benchmarks/derivation.py --predictor DIR [--seeds 5] [--steps 300] [--only draws gradient truth derived]
    python benchmarks/derivation.py --dry

No latency is measured: the predictor's are taken. A budget is named by the share of the space's networks within it.

- `draws`: for each way to draw, how many draws a feasible one takes, and how many the constraint's bounds refuse; how fast
  exact draws are, how many of them rounding costs, and `log P(V)` beside its exact value (meet in the middle).
- `gradient`: on five layers, which can be enumerated, with the others fixed. How far the mean REINFORCE gradient is from the
  gradient of the expected quality, and the spread of one batch: without correction, with TabNAS's estimate, and with the exact
  one. Also the quality that training by each reaches.
- `truth`: on the same layers, whether enumeration gives the same K best.
- `derived`: on the whole space, with weights trained by REINFORCE on a stand-in for quality: the result of each derivation at
  the same budget, beside the true best (the stand-in is a sum, so its constrained best is known).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import latlas.spaces.portrait  # noqa: F401  (registers the space)
from latlas.arrays import Codes
from latlas.latency.limits.additive import Additive, extreme
from latlas.latency.limits.limits import additive
from latlas.latency.predictor.compiled import CompiledPredictor
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.latency.predictor.predictor_file import load_predictor
from latlas.search.gradient.derivation import best, best_of
from latlas.search.gradient.distribution import LayerWeights
from latlas.search.gradient.sampling import FeasibleSampler
from latlas.search.gradient.trellis import Trellis
from latlas.spaces.text import parse_space

# Appended, not put first: the folders of this repository are called as other people's modules are.
sys.path.append(str(Path(__file__).resolve().parent.parent))
from benchmarks.derivation_basis import (
    BATCH,
    KINDS,
    SHARES,
    Quality,
    budget_of,
    enumerated,
    exact_log_share,
    per_layer_argmax,
    quality_of,
    restricted,
    train,
    within_budget,
)
from benchmarks.derivation_gradient import gradient
from benchmarks.rejection import RejectionSampler
from benchmarks.simulated import SimulatedMachine

FREE_LAYERS, DRY_TRAIN = 5, 100


def draws(terms: Additive, compiled: CompiledPredictor, seeds: int, count: int) -> dict[str, Any]:
    """How many draws each way takes, how fast exact draws are, and how many bins cost."""
    found: dict[str, Any] = {}
    for share in (*SHARES, 0.001):
        budget_ms, rows = budget_of(terms, share), []
        for kind in KINDS:
            for sd in (1e-3, 1.0):
                rng = np.random.default_rng(0)
                distribution = KINDS[kind].initial(terms.sizes, rng, sd)
                started = time.perf_counter()
                sampler = FeasibleSampler(terms, budget_ms)
                sampler.sample(distribution, 1, rng)
                first = time.perf_counter()
                codes = sampler.sample(distribution, count, rng)
                ended = time.perf_counter()
                predicted, _, upper = compiled.predict_interval(codes)
                refused, margins = upper > budget_ms, upper / predicted - 1
                tighter_ms = budget_ms / (1 + float(margins.max()))
                inside = None
                if tighter_ms >= extreme(terms).latency_ms:
                    few = FeasibleSampler(terms, tighter_ms).sample(distribution, count // 10, rng)
                    inside = float((compiled.predict_interval(few)[2] > budget_ms).mean())
                screen = partial(within_budget, terms, budget_ms)
                plain = RejectionSampler(screen, rng, max_draws=50_000_000)
                plain.sample(distribution, 20, rng)
                exact = exact_log_share(distribution, terms, budget_ms)
                lower, above = sampler.log_feasible_bounds(distribution)
                rows.append(
                    {
                        "weights": kind, "sd": sd,
                        "rejection_draws_each": plain.drawn / (plain.drawn - plain.rejected),
                        "exact_rejected": sampler.rejected / sampler.drawn,
                        "above_budget_by_predictor": int((compiled.latency_ms(codes) > budget_ms + 1e-9).sum()),
                        "refused_by_bounds": float(refused.mean()),
                        "refused_farther_than_the_interval": int((refused & (predicted * (1 + margins.max()) < budget_ms)).sum()),
                        "refused_with_budget_less_the_interval": inside,
                        "first_ms": 1e3 * (first - started),
                        "each_us": 1e6 * (ended - first) / count,
                        "log_share": sampler.log_feasible(distribution), "log_share_bounds": [lower, above],
                        "log_share_error": None if exact is None else sampler.log_feasible(distribution) - exact,
                    }
                )  # fmt: skip
        found[str(share)] = {"budget_ms": budget_ms, "rows": rows}
        print(f"draws at {budget_ms:.3f} ms", file=sys.stderr)
    budget_ms, rng = budget_of(terms, 0.1), np.random.default_rng(0)
    distribution = LayerWeights.initial(terms.sizes, rng, 1.0)
    found["bins"] = {}
    for bins in (100, 300, 1000, 3000, 10_000):
        sampler, started = FeasibleSampler(terms, budget_ms, bins), time.perf_counter()
        sampler.sample(distribution, count, rng)
        seconds, started = time.perf_counter() - started, time.perf_counter()
        best(distribution, terms, budget_ms, 10, bins)
        found["bins"][bins] = {
            "rejected": sampler.rejected / sampler.drawn, "seconds": seconds, "ten_best_seconds": time.perf_counter() - started,
        }  # fmt: skip
    return found


def truth(terms: Additive, cases: int) -> dict[str, Any]:
    """How often enumeration gives the same ten best, and how often each layer's argmax is feasible, and the best."""
    codes, rng = enumerated(terms.sizes), np.random.default_rng(0)
    values, found = terms.values(codes), dict[str, Any]()
    for kind in KINDS:
        equal = feasible = best_too = 0
        for _ in range(cases):
            distribution = KINDS[kind].initial(terms.sizes, rng, float(rng.uniform(0.1, 3.0)))
            budget_ms = float(np.quantile(values, rng.uniform(0.001, 0.9)))
            log_prob = np.where(values <= budget_ms, distribution.log_prob(codes), -np.inf)
            top = np.argsort(-log_prob)[:10]
            derived = best(distribution, terms, budget_ms, 10)
            equal += derived.shape == (len(top), len(terms.sizes)) and bool((derived == codes[top]).all())
            argmax = per_layer_argmax(distribution)
            feasible += bool(terms.values(argmax[None])[0] <= budget_ms)
            best_too += bool((argmax == codes[top[0]]).all())
        found[kind] = {
            "cases": cases,
            "ten_best_are_enumerations": equal,
            "argmax_feasible": feasible,
            "argmax_best": best_too,
        }
    return found


def derived(terms: Additive, seeds: int, steps: int) -> dict[str, Any]:
    """The result of each derivation at the same budget, from weights trained with and without it."""
    found: dict[str, Any] = {}
    for share in (0.5, 0.1, 0.01):
        budget_ms, rows = budget_of(terms, share), list[dict[str, Any]]()
        for seed in range(seeds):
            quality = quality_of(terms, seed)
            top = best(quality, terms, budget_ms)  # type: ignore[arg-type]  # its sum is all that is asked of it
            rng = np.random.default_rng([seed, 3])
            uniform = FeasibleSampler(terms, budget_ms).sample(
                LayerWeights([np.zeros(k) for k in terms.sizes]), 4000, rng
            )
            least, most = float(quality.terms.values(uniform).mean()), float(quality.terms.values(top)[0])

            row = partial(add_outcome, rows, terms, quality, budget_ms, (least, most))
            row("none", f"best of {BATCH * steps} uniform feasible draws", uniform[: BATCH * steps])
            for kind in KINDS:
                for trained in ("without budget", "within budget"):
                    distribution = KINDS[kind].initial(terms.sizes, rng)
                    sampler = FeasibleSampler(terms, budget_ms if trained == "within budget" else np.inf, 300)
                    train(distribution, sampler, sampler, quality.terms.values, steps, rng)
                    name = f"{kind}, trained {trained}"
                    row(name, "argmax of each layer", per_layer_argmax(distribution)[None])
                    trellis = Trellis(terms, budget_ms, distribution.unary_pairwise_log()[1])
                    row(name, "constrained best", best_of(trellis, distribution))
                    row(name, "best of 20 constrained best", best_of(trellis, distribution, 20))
            print(f"derived at {budget_ms:.3f} ms, seed {seed}", file=sys.stderr)
        table = {}
        for key in dict.fromkeys((one["weights"], one["how"]) for one in rows):
            mine = [one for one in rows if (one["weights"], one["how"]) == key]
            table[": ".join(key)] = {
                "over_budget": sum(one["latency_ms"] > budget_ms for one in mine), "of": len(mine),
                "latency_share": float(np.mean([one["latency_ms"] for one in mine])) / budget_ms,
                "reached": float(np.mean([one["reached"] for one in mine])),
                "reached_sd": float(np.std([one["reached"] for one in mine], ddof=1)) if seeds > 1 else 0.0,
            }  # fmt: skip
        found[str(share)] = {"budget_ms": budget_ms, "table": table, "runs": rows}
    return found


def add_outcome(
    rows: list[dict[str, Any]], terms: Additive, quality: Quality, budget_ms: float, ends: tuple[float, float], weights: str,
    how: str, codes: Codes,
) -> None:  # fmt: skip
    """Add the best of some codes within the budget, or where none is the first; quality is a share of the way between ends."""
    good = quality.terms.values(codes)
    one = int(np.argmax(np.where(terms.values(codes) <= budget_ms, good, -np.inf)))
    reached = (float(good[one]) - ends[0]) / (ends[1] - ends[0])
    rows.append({"weights": weights, "how": how, "reached": reached, "latency_ms": float(terms.values(codes)[one]),
                 "codes": codes[one].tolist()})  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictor", type=Path)
    parser.add_argument("--dry", action="store_true", help="a predictor learnt from a simulated machine")
    parser.add_argument("--space", default="portrait", help="of --dry")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300, help="of training")
    parser.add_argument("--count", type=int, default=20_000, help="architectures drawn")
    parser.add_argument("--repeats", type=int, default=200, help="batches whose gradients are averaged")
    sections = ("draws", "gradient", "truth", "derived")
    parser.add_argument("--only", nargs="+", choices=sections, default=sections)
    arguments = parser.parse_args()
    if (arguments.predictor is None) != arguments.dry:
        parser.error("give --predictor DIR, or --dry")
    if arguments.dry:
        space = parse_space(arguments.space)
        train_on = space.sample(DRY_TRAIN, np.random.default_rng(0))
        took = [one.latency_ms for one in SimulatedMachine(0).session(0).measure(train_on) if one]
        predictor = LatencyPredictor().fit([one.graph() for one in train_on], took)
    else:
        saved = load_predictor(arguments.predictor)
        space, predictor = saved.space, saved.predictor
    terms = additive(predictor, space)
    if terms is None:
        sys.exit("the predictor is no sum over the space's layers")
    middle = space.encode([space.cover()[0]])[0]
    small = restricted(terms, middle, min(FREE_LAYERS, len(terms.sizes)))
    run: dict[str, Callable[[], dict[str, Any]]] = {
        "draws": lambda: draws(terms, CompiledPredictor(predictor, space.template()), arguments.seeds, arguments.count),
        "gradient": lambda: gradient(small, arguments.seeds, arguments.steps, arguments.repeats),
        "truth": lambda: truth(small, 20 * arguments.seeds),
        "derived": lambda: derived(terms, arguments.seeds, arguments.steps),
    }
    result = {"simulated": arguments.dry, "space": space.text, "pairs": sorted(map(list, terms.pairwise))}
    print(json.dumps(result | {name: run[name]() for name in arguments.only}, indent=1))


if __name__ == "__main__":
    main()
