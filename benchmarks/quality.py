"""Compares searched networks with the baselines whose latency was their budget, trained alike over several seeds.

    python benchmarks/quality.py --predictor DIR --data FOLDER --samples FILE.jsonl --pairs SEARCHED=BASELINE ... [--seeds 3]
    python benchmarks/quality.py ... --part 1/2 & python benchmarks/quality.py ... --part 2/2      (then once more, to report)
    python benchmarks/quality.py --dry

Each network is trained from nothing, `--steps` steps, with the same images, augmentation, optimiser and, for a seed, the
same order; its mIoU is that of all validation photographs together, on which nothing was chosen. After a short training at
another resolution than the network's, validate at the training's too: what objects' other size costs is large then, and not
the same for all. Latencies are measured all in turn in this process, milliseconds of the predictor (subnets that it knows are
measured along). Differences are paired by seed, intervals Student's over seeds: of what another training would give, not of
other photographs. Everything finished is a line of `--samples` and is not done again. `--dry` trains tiny networks for two
steps on a simulated machine: a test of this program, whose figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from latlas.search.run.export import calibration_images
from latlas.spaces.space import Architecture
from latlas.spaces.text import parse_architecture
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.data.dataset import Dataset, subset, synthetic
from latlas.supernet.data.folder import load_folder
from latlas.supernet.networks.network import Subnet
from latlas.supernet.networks.recalibrate import recalibrate
from latlas.supernet.training.quality import score_subnet
from latlas.supernet.training.train import TrainConfig, train_subnet

# Appended, not put first: the folders of this repository are called as other people's modules are.
sys.path.append(str(Path(__file__).resolve().parent.parent))
from benchmarks.constraint import known_of
from benchmarks.kept_lines import KeptLines, Record
from benchmarks.scores import over_seeds

DRY_SPACE = "portrait:resolution=32,stem_channels=8,widths=8.8.16.16,depths=1.1.1.1,decoder_channels=8,aspp_channels=8"
DRY_PAIR = "m3/m3/sh/d5=mobilenetv3_large_x0.5"
CALIBRATION_IMAGES = 64


class Trainings:
    """Trains a network from nothing and scores it on validation images."""

    def __init__(self, training: Dataset, validation: Dataset, arguments: argparse.Namespace) -> None:
        self.training, self.validation, self.arguments = training, validation, arguments
        self.calibration = calibration_images(subset(training, CALIBRATION_IMAGES, 1).images)

    def __call__(self, one: Architecture, seed: int) -> Record:
        """mIoU, shares 0..1, over all validation images and over those of each source."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            subnet = Subnet(one.graph())
        config = TrainConfig(self.arguments.steps, self.arguments.batch_size, seed=seed, device="cpu")
        done = train_subnet(subnet, self.training, config, Augmentation())
        found = score_subnet(recalibrate(done.cpu(), self.calibration), self.validation)
        sources = {name: quality.miou for name, quality in found.by_source.items()}
        return {"miou": found.miou, "person_iou": found.person_iou, "boundary_f": found.boundary_f, "sources": sources}


def photographs(arguments: argparse.Namespace, size: tuple[int, int]) -> tuple[Dataset, Dataset]:
    """Training and validation images at what they were asked for, else at the network's size."""

    def asked(resolution: int) -> tuple[int, int]:
        return (resolution, resolution) if resolution else size

    trained, judged = asked(arguments.train_resolution), asked(arguments.val_resolution)
    if arguments.dry:
        return synthetic(32, *trained, 0), synthetic(16, *judged, 1)
    return load_folder(arguments.data, "train", *trained), load_folder(arguments.data, "val", *judged)


def network_record(one: Architecture, by_seed: list[Record], interval: Any) -> dict[str, Any]:
    """A network's latency, size and quality over seeds."""
    sources = sorted({name for record in by_seed for name in record["sources"]})
    return {
        "architecture": str(one),
        "latency_ms": interval and [interval.latency_ms, interval.lower_ms, interval.upper_ms],
        "macs": one.macs,
        "params": one.params,
        "miou": over_seeds([record["miou"] for record in by_seed]),
        "by_seed": [record["miou"] for record in by_seed],
        "boundary_f": over_seeds([record["boundary_f"] for record in by_seed]),
        "sources": {name: fmean(record["sources"][name] for record in by_seed) for name in sources},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictor", type=Path)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--space", default=DRY_SPACE, help="of --dry")
    parser.add_argument("--data", help="a folder of photographs and masks")
    parser.add_argument("--pairs", nargs="+", help="SEARCHED=BASELINE, both without the space")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--train-resolution", type=int, default=0, help="0 for the network's own")
    parser.add_argument("--val-resolution", type=int, default=0, help="of validation images; 0 for the network's own")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1, help="a search's own training has 0")
    parser.add_argument("--passes", type=int, default=24)
    parser.add_argument("--threads", type=int, default=0, help="torch's; 0 for as many as it takes")
    parser.add_argument("--samples", type=Path, help="a file that keeps what is finished")
    parser.add_argument("--part", default="1/1", help="K/N: train only every Nth, from the Kth, and measure nothing")
    arguments = parser.parse_args()
    if arguments.dry:
        arguments.steps, arguments.data = min(arguments.steps, 2), "synthetic"
        arguments.pairs = arguments.pairs or [DRY_PAIR]
    elif not (arguments.predictor and arguments.data and arguments.pairs):
        parser.error("give --predictor DIR, --data FOLDER and --pairs SEARCHED=BASELINE, or --dry")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    known = known_of(arguments)
    pairs = []
    for text in arguments.pairs:
        searched, _, baseline = text.partition("=")
        pairs.append((parse_architecture(searched, known.space), known.space.baseline(baseline)))
    training, validation = photographs(arguments, known.space.input_shape()[1:])
    trainings = Trainings(training, validation, arguments)
    setting = {
        "data": arguments.data, "images": len(training), "val": len(validation), "size": list(training.images.shape[2:]),
        "val_size": list(validation.images.shape[2:]), "steps": arguments.steps, "batch_size": arguments.batch_size,
    }  # fmt: skip
    kept = KeptLines(arguments.samples, setting)
    networks = list(dict.fromkeys(one for pair in pairs for one in pair))
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    jobs = [(one, seed) for seed in seeds for one in networks]
    part, parts = (int(number) for number in arguments.part.split("/"))
    for number, (one, seed) in enumerate(jobs[part - 1 :: parts], start=1):
        found = kept.get(one, f"seed {seed}", lambda one=one, seed=seed: trainings(one, seed))  # type: ignore[misc]
        print(f"{number}: seed {seed}, {one}: {found['miou']:.4f}", file=sys.stderr, flush=True)
    if parts > 1:
        return
    with known.open(0) as (measure, _):
        took = dict(zip(networks, measure(networks, arguments.passes), strict=True))
    result = []
    for searched, baseline in pairs:
        by_seed = [[kept.found[str(one), f"seed {seed}"] for seed in seeds] for one in (searched, baseline)]
        ms, base_ms = took[searched], took[baseline]
        above = [a["miou"] - b["miou"] for a, b in zip(*by_seed, strict=True)]
        result.append(
            {
                "searched": network_record(searched, by_seed[0], ms),
                "baseline": network_record(baseline, by_seed[1], base_ms),
                "miou_above": over_seeds(above),
                "latency_ratio": ms.latency_ms / base_ms.latency_ms if ms and base_ms else None,
            }
        )
    print(json.dumps({"dry": arguments.dry, "setting": setting, "seeds": list(seeds), "pairs": result}, indent=1))


if __name__ == "__main__":
    main()
