"""The report of benchmarks/ranking.py: how each proxy ranks the trained networks, and what it costs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from benchmarks.kept_lines import KeptLines, Record
from latlas.search.accuracy.rank_agreement import LEAST_PAIRS, Estimate, kendall, rank_agreement
from latlas.spaces.space import Architecture

PROXIES = ("supernet_miou", "supernet_val_miou", "supernet_loss", "macs", "params", "latency_ms")
LOWER_IS_BETTER = ("supernet_loss", "short_loss")
RESAMPLES = 1000


def advantage(
    truth: npt.ArrayLike, score: npt.ArrayLike, rival: npt.ArrayLike, *, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """How much larger Kendall's tau with `truth` is for `score` than for `rival`, on the same architectures `(n,)`.

    The interval is the percentile bootstrap's over architectures, which both scores share: they are far less sure each
    than their difference is.
    """
    first, mine, other = (np.asarray(one, float) for one in (truth, score, rival))
    value = kendall(first, mine) - kendall(first, other)
    if not np.isfinite(value) or len(first) < LEAST_PAIRS:
        return Estimate(value if np.isfinite(value) else None)
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(len(first), size=len(first)) for _ in range(RESAMPLES)]
    # Few of many resamples may have no order; they say nothing.
    values = np.array([kendall(first[i], mine[i]) - kendall(first[i], other[i]) for i in drawn])
    tail = (1 - confidence) / 2
    lower, upper = np.quantile(values[np.isfinite(values)], [tail, 1 - tail])
    return Estimate(value, float(lower), float(upper))


def summary(rows: Sequence[Record], truth: str, proxies: Sequence[str]) -> Record:
    """How each proxy ranks a group's networks: agreement with the truth, what its best would have given, what it costs."""
    whole = [row for row in rows if row.get(truth) is not None]
    if len(whole) < 2:
        return {"networks": len(whole)}
    standalone = np.array([row[truth] for row in whole])
    spread = {"mean": standalone.mean(), "sd": standalone.std(ddof=1), "best": standalone.max()}
    result: Record = {
        "networks": len(whole),
        "standalone_miou": {key: float(value) for key, value in spread.items()},
        "proxies": {},
    }
    of = {name: np.array([row[name] for row in whole], float) for name in proxies if all(name in row for row in whole)}
    of = {name: -values if name.split(" ")[0] in LOWER_IS_BETTER else values for name, values in of.items()}
    for name, values in of.items():
        result["proxies"][name] = {
            **rank_agreement(values, standalone).to_record(),
            "miou_of_its_best": float(standalone[values.argmax()]),
        }
        if name != "supernet_miou" and "supernet_miou" in of:
            gain = advantage(standalone, of["supernet_miou"], values)
            result["proxies"][name]["supernet_better_by"] = [gain.value, gain.lower, gain.upper]
    return result


def repeatability(rows: Sequence[Record], seeds: int) -> list[float | None]:
    """Kendall's tau between trainings of the same networks with different seeds, each pair of seeds."""
    found = []
    for one, other in combinations(range(seeds), 2):
        both = [row["by_seed"] for row in rows if {one, other} <= row["by_seed"].keys()]
        value = kendall(*(np.array([row[seed] for row in both]) for seed in (one, other))) if len(both) > 1 else np.nan
        found.append(float(value) if np.isfinite(value) else None)
    return found


def rows_of(
    kept: KeptLines, group: Sequence[Architecture], latencies: dict[str, float], arguments: argparse.Namespace
) -> list[Record]:
    """The record of each network so far."""
    rows = []
    for one in group:
        name = str(one)
        row: Record = {
            "architecture": name,
            "macs": one.macs,
            "params": one.params,
            **kept.found.get((name, "score"), {}),
        }
        if name in latencies:
            row["latency_ms"] = latencies[name]
        for steps in arguments.short:
            if (name, f"{steps} 0") in kept.found:
                short = kept.found[name, f"{steps} 0"]
                row |= {
                    f"short_miou {steps}": short["miou"],
                    f"short_loss {steps}": short["loss"],
                    f"seconds {steps}": short["seconds"],
                }
        long = {
            seed: kept.found[key]
            for seed in range(arguments.seeds)
            if (key := (name, f"{arguments.steps} {seed}")) in kept.found
        }
        row["by_seed"] = {seed: record["val_miou"] for seed, record in long.items()}
        row["standalone_miou"] = float(np.mean(list(row["by_seed"].values()))) if len(long) == arguments.seeds else None
        row["train_seconds"] = float(np.mean([record["seconds"] for record in long.values()])) if long else None
        rows.append(row)
    return rows


def report(
    arguments: argparse.Namespace,
    kept: KeptLines,
    groups: dict[str, list[Architecture]],
    latencies: dict[str, float],
    setting: Record,
) -> None:
    proxies = [*PROXIES, *(f"{name} {steps}" for steps in arguments.short for name in ("short_miou", "short_loss"))]
    result: Record = {
        "dry": arguments.dry,
        "setting": setting,
        "steps": arguments.steps,
        "seeds": arguments.seeds,
        "groups": {},
    }
    for name, group in groups.items():
        rows = rows_of(kept, group, latencies, arguments)
        seconds = [
            (key, [row[key] for row in rows if row.get(key)])
            for key in ("score_seconds", "train_seconds", *(f"seconds {s}" for s in arguments.short))
        ]
        result["groups"][name] = {
            **summary(rows, "standalone_miou", proxies),
            "repeat_kendall": repeatability(rows, arguments.seeds),
            "seconds": {key: float(np.median(values)) for key, values in seconds if values},
            "rows": rows,
        }
    print(json.dumps(result, indent=1))
