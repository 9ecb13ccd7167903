"""Compares cells at one budget: the searched cell, the published one and ASPP; and how the proxy task ranks others.

    latlas search --predictor DIR --backbone FILE --data FOLDER --budget-ms 12 --rivals dpc_cityscapes --out RUN
    python benchmarks/dpc.py --searched RUN/result.json --predictor DIR --backbone FILE --data FOLDER --samples FILE.jsonl
    python benchmarks/dpc.py --dry

The three, and `--cells` cells drawn within the budget by the predictor, are scored by the proxy task as in a search. They are
also trained as whole networks for `--steps` steps from the backbone's weights, over `--seeds` seeds. The truth is mIoU on
validation images, which decided nothing before. All are then measured in turn, in milliseconds of the predictor. Spearman's
rho of proxy and truth is over the drawn cells, with the published figures (arXiv 1809.04184, figure 3) beside it. The speed-up
compares equally many steps: training and scoring a whole network, and a cell on kept features. `violations` are networks that
seemed within the budget and were measured above it with certainty. Finished work is a line of `--samples` and is not done
again. `--dry` tests this program on a simulated machine; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

from latlas.latency.measuring.interval import Interval
from latlas.latency.sharing.pull import cache_folder
from latlas.search.accuracy.rank_agreement import rank_agreement
from latlas.search.proxy_config import ProxyConfig
from latlas.search.run.export import calibration_images
from latlas.search.run.prepare import CALIBRATION_IMAGES
from latlas.search.run.proxy import ProxyTask
from latlas.spaces.sampling import draw_different
from latlas.spaces.space import Architecture, SearchSpace
from latlas.spaces.text import parse_architecture
from latlas.supernet.backbone.cell_training import CellTraining, ProxyData
from latlas.supernet.backbone.feature_cache import FeatureCache
from latlas.supernet.backbone.features import FeaturePlan
from latlas.supernet.backbone.split import Backbone, split_of
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.data.dataset import Dataset, parted, subset, synthetic
from latlas.supernet.data.folder import load_folder
from latlas.supernet.networks.recalibrate import recalibrate
from latlas.supernet.operators.build import timing_operator
from latlas.supernet.training.quality import score_subnet
from latlas.supernet.training.train import TrainConfig, train_subnet

# Appended, not put first: the folders of this repository are called as other people's modules are.
sys.path.append(str(Path(__file__).resolve().parent.parent))
from benchmarks.constraint import Known, known_of
from benchmarks.kept_lines import KeptLines, Record
from benchmarks.scores import over_seeds

DRY_SPACE = (
    "dpc:resolution=32,stem_channels=8,widths=8.8.16.16,depths=1.1.1.1,decoder_channels=8,backbone=m3-s3-m3-m3,branches=3,"
    "filters=8,rates=1.6,grids=1.2"
)
PUBLISHED = {"small proxy network against large": 0.36, "features kept against end to end": [0.46, 0.47]}
"""Spearman's rho of the paper's proxies."""


class Work:
    """The work on a cell: score it by the proxy task, or train it as a whole network."""

    def __init__(self, task: ProxyTask, training: Dataset, arguments: argparse.Namespace) -> None:
        self.task = task
        self.config = TrainConfig(arguments.steps, arguments.batch_size, device="cpu")
        self.scored, self.rest = parted(training, min(arguments.score_images, len(training) // 2), 0)
        self.calibrating = subset(training, CALIBRATION_IMAGES, 1)
        self.calibration = calibration_images(self.calibrating.images)
        self._data: ProxyData | None = None

    def features(self) -> Record:
        """Compute or find the features; how many bytes they are."""
        plans = (FeaturePlan(Augmentation(), self.task.config.copies, 0), FeaturePlan(), FeaturePlan())
        images = (self.rest, self.scored, self.calibrating)
        of = [
            self.task.cache.features(self.task.backbone, *one, "benchmark") for one in zip(images, plans, strict=True)
        ]
        self._data = ProxyData(self.task.backbone.split, *of)
        return {"bytes": sum(one.size_bytes for one in of)}

    def proxy(self, one: Architecture) -> Record:
        """mIoU of a cell on images that it was not trained on, as in a search."""
        if self._data is None:
            self.features()
        assert self._data is not None
        steps = self.task.config.steps
        config = replace(self.config, steps=steps)
        return {"miou": CellTraining(one.graph(), self._data, config).advance(steps).miou()}

    def train(self, one: Architecture, steps: int, seed: int, images: Dataset) -> Record:
        """mIoU of a whole network on these images, trained from the backbone's weights."""
        config = replace(self.config, steps=steps, seed=seed)
        done = train_subnet(self.task.fresh(one, seed), self.rest, config, Augmentation())
        recalibrate(done, self.calibration)
        return {"miou": score_subnet(done, images, boundary=False).miou}


def within(known: Known, budget_ms: float, count: int, drawn: int, seed: int) -> list[Architecture]:
    """This many different cells with a predicted upper bound within the budget."""
    cells = list(
        dict.fromkeys(one.canonical() for one in draw_different(known.space, drawn, np.random.default_rng(seed)))
    )
    bounds = known.predictor.predict_interval([one.graph() for one in cells])
    found = [one for one, ms in zip(cells, bounds, strict=True) if ms.upper_ms <= budget_ms][:count]
    if len(found) < count:
        sys.exit(f"only {len(found)} of {len(cells)} drawn cells are predicted to be within {budget_ms:.3f} ms")
    return found


def loaded(arguments: argparse.Namespace, space: SearchSpace) -> tuple[ProxyTask, Dataset, Dataset]:
    """Task, training and validation images."""
    size = space.input_shape()[1:]
    config = ProxyConfig(arguments.proxy_steps, arguments.copies)
    if arguments.dry:
        split = split_of(space)
        backbone = Backbone(split, [timing_operator(node.spec) for node in split.prefix])
        cache = FeatureCache(arguments.cache or Path(tempfile.mkdtemp(prefix="latlas-dry-")))
        return ProxyTask(space, backbone, cache, config), synthetic(24, *size, 0), synthetic(8, *size, 1)
    if arguments.train_resolution:
        size = (arguments.train_resolution, arguments.train_resolution)
    training, validation = (load_folder(arguments.data, split, *size) for split in ("train", "val"))
    cache = FeatureCache(arguments.cache or cache_folder() / "features")
    calibration = calibration_images(subset(training, CALIBRATION_IMAGES, 1).images)
    return ProxyTask.load(arguments.backbone, space, calibration, cache, config), training, validation


def chosen(arguments: argparse.Namespace, known: Known) -> tuple[dict[str, Architecture], float, int]:
    """The compared networks by what they are, the budget, and how many networks above it the search took to be within."""
    space = known.space
    compared = {"published": space.baseline("dpc_cityscapes"), "aspp": space.baseline("aspp")}
    if arguments.dry:
        budget_ms = float(known.predictor.latency_ms([compared["aspp"].graph()])[0]) * 1.02
        return {"found": within(known, budget_ms, 1, 50, 9)[0], **compared}, budget_ms, 0
    result = json.loads(arguments.searched.read_text(encoding="utf-8"))
    found = parse_architecture(result["architecture"], space)
    return {"found": found, **compared}, float(result["budget_ms"]), int(result["false_accepts"])


def row_of(one: Architecture, kept: KeptLines, ms: Interval | None, arguments: argparse.Namespace) -> Record:
    """The record of a network so far."""
    by_seed = [kept.found[str(one), f"full {arguments.steps} {seed}"]["miou"] for seed in range(arguments.seeds)]
    return {
        "architecture": str(one),
        "latency_ms": ms and [ms.latency_ms, ms.lower_ms, ms.upper_ms],
        "macs": one.macs,
        "params": one.params,
        "proxy_miou": kept.found[str(one), f"proxy {arguments.proxy_steps}"]["miou"],
        "miou": over_seeds(by_seed),
        "by_seed": by_seed,
    }


def speed(
    kept: KeptLines, networks: Sequence[Architecture], whole: Architecture, arguments: argparse.Namespace
) -> Record:
    """Candidates a minute, and how long training a whole network takes, for as many steps and for all."""
    seconds = median(kept.found[str(one), f"proxy {arguments.proxy_steps}"]["seconds"] for one in networks)
    brief = kept.found[str(whole), f"end to end {arguments.end_to_end_steps}"]["seconds"]
    brief *= arguments.proxy_steps / arguments.end_to_end_steps
    full = median(kept.found[str(one), f"full {arguments.steps} 0"]["seconds"] for one in networks)
    return {
        "seconds_a_candidate": seconds,
        "candidates_a_minute": 60 / seconds,
        "speed_up_at_equal_steps": brief / seconds,
        "speed_up_against_full_training": full / seconds,
        "features": kept.found["features", "computed"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searched", type=Path, help="result.json of a search by --backbone")
    parser.add_argument("--predictor", type=Path)
    parser.add_argument("--backbone", type=Path)
    parser.add_argument("--data", help="a folder of photographs and masks")
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--space", default=DRY_SPACE, help="of --dry")
    parser.add_argument("--cells", type=int, default=16, help="drawn ones, that the proxy's ranking is judged on")
    parser.add_argument("--drawn", type=int, default=2000, help="cells that those are chosen from")
    parser.add_argument("--proxy-steps", type=int, default=300)
    parser.add_argument("--end-to-end-steps", type=int, default=100, help="of the timing, scaled to the proxy's")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--copies", type=int, default=2)
    parser.add_argument("--score-images", type=int, default=600)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument(
        "--train-resolution", type=int, default=0, help="of all images, judged ones too; 0: the space's"
    )
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--passes", type=int, default=24)
    parser.add_argument("--threads", type=int, default=0, help="torch's; 0 for as many as it takes")
    parser.add_argument("--samples", type=Path, help="a file that keeps what is finished")
    parser.add_argument("--part", default="1/1", help="K/N: train only every Nth, from the Kth, and measure nothing")
    arguments = parser.parse_args()
    if not arguments.dry and not all((arguments.searched, arguments.predictor, arguments.backbone, arguments.data)):
        parser.error("give --searched RESULT, --predictor DIR, --backbone FILE and --data FOLDER, or --dry")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    known = known_of(arguments)
    compared, budget_ms, missed = chosen(arguments, known)
    cells = within(known, budget_ms, arguments.cells, arguments.drawn, 5)
    task, training, validation = loaded(arguments, known.space)
    work = Work(task, training, arguments)
    setting = {
        **task.identity(), "space": known.space.text, "data": arguments.data, "images": len(training), "val": len(validation),
        **{name: getattr(arguments, name) for name in ("score_images", "batch_size", "copies", "train_resolution")},
    }  # fmt: skip
    kept = KeptLines(arguments.samples, setting)
    networks = list(dict.fromkeys((*compared.values(), *cells)))
    kept.get("features", "computed", work.features)
    part, parts = (int(number) for number in arguments.part.split("/"))
    mine = networks[part - 1 :: parts]
    steps = arguments.end_to_end_steps
    for one in mine:
        kept.get(one, f"proxy {arguments.proxy_steps}", partial(work.proxy, one))
    kept.get(compared["aspp"], f"end to end {steps}", lambda: work.train(compared["aspp"], steps, 0, work.scored))
    for seed in range(arguments.seeds):
        for number, one in enumerate(mine, start=1):
            do = partial(work.train, one, arguments.steps, seed, validation)
            kept.get(one, f"full {arguments.steps} {seed}", do)
            print(f"seed {seed}: {number} of {len(mine)} trained", file=sys.stderr, flush=True)
    if parts > 1:
        return
    with known.open(0) as (measure, _):
        took = dict(zip(networks, measure(networks, arguments.passes), strict=True))
    rows = [row_of(one, kept, took[one], arguments) for one in cells]
    scores, truth = (
        np.array(values) for values in zip(*((row["proxy_miou"], row["miou"][0]) for row in rows), strict=True)
    )
    accepted = [took[one] for one in (compared["found"], *cells)]
    result = {
        "dry": arguments.dry,
        "setting": setting,
        "budget_ms": budget_ms,
        **{name: row_of(one, kept, took[one], arguments) for name, one in compared.items()},
        "proxy": rank_agreement(scores, truth).to_record(),
        "published_spearman": PUBLISHED,
        "speed": speed(kept, cells, compared["aspp"], arguments),
        "violations": sum(ms is not None and ms.lower_ms > budget_ms for ms in accepted),
        "false_accepts_of_the_search": missed,
        "cells": rows,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
