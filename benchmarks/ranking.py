"""Whether a supernet's score ranks networks as their own training does, compared with cheaper proxies.

    python benchmarks/ranking.py --supernet FILE --data FOLDER --samples FILE.jsonl [--subnets 24] [--steps 1000]
    python benchmarks/ranking.py ... --part 1/2 & python benchmarks/ranking.py ... --part 2/2      (then once more, to report)
    python benchmarks/ranking.py --dry

`--subnets` networks are drawn spread over their latencies (by `--predictor`, else over multiply-adds), and `--near-subnets`
more within the share `--min-use` of `--budget-ms`, as a search compares them. Each is trained on its own, from nothing,
`--steps` steps, with the same seed and data for all; its mIoU on validation images, which nothing was chosen by, is what
all else is held against: Kendall's tau and Spearman's rho with intervals over networks, what each costs, and how much
better the supernet's score ranks than each (a bootstrap over the same networks). With several `--seeds` the truth is the
mean over them, and `repeat_kendall` says how well one training ranks another. Everything finished is a line of `--samples`
and is not done again. `--dry` is a test of this program with a supernet that has learnt nothing; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

from latlas.latency.predictor.predictor_file import load_predictor
from latlas.search.run.export import calibration_images
from latlas.spaces.sampling import draw_different
from latlas.spaces.space import Architecture
from latlas.spaces.text import parse_space
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.data.dataset import Dataset, parted, subset
from latlas.supernet.data.void import float_masks
from latlas.supernet.networks.loss import segmentation_loss
from latlas.supernet.networks.network import Subnet, Supernet
from latlas.supernet.networks.recalibrate import recalibrate
from latlas.supernet.training.quality import score_subnet
from latlas.supernet.training.train import TrainConfig, train_subnet

# Appended, not put first: the folders of this repository are called as other people's modules are.
sys.path.append(str(Path(__file__).resolve().parent.parent))
from benchmarks.kept_lines import KeptLines, Record
from benchmarks.photographs import loaded
from benchmarks.ranking_report import report

DRY_SPACE = "portrait:resolution=32,stem_channels=8,widths=8.8.16.16,depths=1.1.1.1,decoder_channels=8,aspp_channels=8"


class Work:
    """The work on a network: score it with the supernet's weights, or train it on its own."""

    def __init__(
        self, supernet: Supernet, training: Dataset, validation: Dataset, arguments: argparse.Namespace
    ) -> None:
        self.supernet, self.validation, self.arguments = supernet, validation, arguments
        self.calibration = calibration_images(subset(training, arguments.calibration_images, 1).images)
        # As a search does: the images that it scores on are not trained on.
        self.scored, self.rest = parted(training, min(arguments.score_images, len(training) // 2), 0)

    def score(self, one: Architecture) -> Record:
        """The supernet's score as a search takes it, that on validation images, and the loss on the former."""
        started = time.monotonic()
        subnet = recalibrate(self.supernet.extract(one), self.calibration)
        miou = score_subnet(subnet, self.scored, boundary=False).miou
        took = time.monotonic() - started
        return {
            "supernet_miou": miou,
            "score_seconds": took,
            "supernet_val_miou": score_subnet(subnet, self.validation, boundary=False).miou,
            "supernet_loss": mean_loss(subnet, self.scored),
        }

    def train(self, one: Architecture, steps: int, seed: int) -> Record:
        """From nothing: mIoU on validation images and on those that searches score on, and the loss on the latter."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            subnet = Subnet(one.graph())
        config = TrainConfig(
            steps=steps,
            batch_size=self.arguments.batch_size,
            learning_rate=self.arguments.learning_rate,
            seed=seed,
            device="cpu",
        )
        recalibrate(train_subnet(subnet, self.rest, config, Augmentation()), self.calibration)
        return {
            "val_miou": score_subnet(subnet, self.validation, boundary=False).miou,
            "miou": score_subnet(subnet, self.scored, boundary=False).miou,
            "loss": mean_loss(subnet, self.scored),
        }


def mean_loss(subnet: Subnet, dataset: Dataset, batch_size: int = 32) -> float:
    """The training loss of a network on images as they are."""
    losses = []
    with torch.inference_mode():
        for start in range(0, len(dataset), batch_size):
            images = dataset.images[start : start + batch_size].float().div_(255)
            masks = float_masks(dataset.masks[start : start + batch_size, None])
            logits = subnet.logits(images.contiguous(memory_format=torch.channels_last))
            losses.append(float(segmentation_loss(logits, masks)) * len(images))
    return sum(losses) / len(dataset)


def chosen(arguments: argparse.Namespace, supernet: Supernet) -> tuple[dict[str, list[Architecture]], dict[str, float]]:
    """The networks of each group, and the latency of each by its text, empty without a predictor."""
    drawn = draw_different(supernet.space, arguments.drawn, np.random.default_rng(arguments.draw_seed))
    size_of = {one: float(one.macs) for one in drawn}
    known: dict[str, float] = {}
    if arguments.predictor is not None:
        saved = load_predictor(arguments.predictor)
        saved.require(supernet.space.text)
        took = np.asarray(saved.predictor.latency_ms([one.graph() for one in drawn]))
        size_of = dict(zip(drawn, map(float, took), strict=True))
        known = {str(one): ms for one, ms in size_of.items()}
    ordered = sorted(drawn, key=lambda one: (size_of[one], str(one)))
    places = np.rint(np.linspace(0, len(ordered) - 1, arguments.subnets)).astype(int)
    groups = {"spread": [ordered[place] for place in dict.fromkeys(places.tolist())]}
    if arguments.near_subnets:
        least = arguments.min_use * arguments.budget_ms
        near = [one for one in drawn if least <= size_of[one] <= arguments.budget_ms and one not in groups["spread"]]
        if len(near) < arguments.near_subnets:
            sys.exit(
                f"only {len(near)} of {len(drawn)} drawn networks are between {least:.3f} and {arguments.budget_ms} ms"
            )
        groups["near"] = near[: arguments.near_subnets]
    return groups, known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--supernet", type=Path)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--data", default="synthetic", help="a folder, or synthetic")
    parser.add_argument("--images", type=int, default=2000, help="how many synthetic ones")
    parser.add_argument("--predictor", type=Path, help="folder of a predictor: latencies")
    parser.add_argument("--subnets", type=int, default=24)
    parser.add_argument("--drawn", type=int, default=4000, help="networks that those are chosen from")
    parser.add_argument("--near-subnets", type=int, default=0)
    parser.add_argument("--budget-ms", type=float)
    parser.add_argument("--min-use", type=float, default=0.9)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--short", type=int, nargs="*", default=[50, 150], help="steps of short trainings")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--draw-seed", type=int, default=0)
    parser.add_argument("--score-images", type=int, default=600)
    parser.add_argument("--calibration-images", type=int, default=64)
    parser.add_argument("--val-images", type=int, default=0, help="0 for all")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=0, help="torch's; 0 for as many as it takes")
    parser.add_argument("--samples", type=Path, help="a file that keeps what is finished")
    parser.add_argument("--part", default="1/1", help="K/N: train only every Nth network, from the Kth")
    arguments = parser.parse_args()
    if (arguments.supernet is None) != arguments.dry:
        parser.error("give --supernet FILE, or --dry")
    if arguments.near_subnets and (arguments.budget_ms is None or arguments.predictor is None):
        parser.error("--near-subnets needs --budget-ms and --predictor")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    given = loaded(arguments, parse_space(DRY_SPACE))
    setting = {
        **given.setting(arguments.data), "val": len(given.validation),
        **{name: getattr(arguments, name) for name in ("score_images", "calibration_images", "batch_size", "learning_rate")},
    }  # fmt: skip
    groups, latencies = chosen(arguments, given.supernet)
    work, kept = (
        Work(given.supernet, given.training, given.validation, arguments),
        KeptLines(arguments.samples, setting),
    )
    part, parts = (int(number) for number in arguments.part.split("/"))
    mine = [one for group in groups.values() for one in group][part - 1 :: parts]
    # The cheap first: what is there when it is stopped can be reported.
    jobs = [(steps, 0) for steps in arguments.short] + [(arguments.steps, seed) for seed in range(arguments.seeds)]
    for one in mine:
        kept.get(one, "score", lambda one=one: work.score(one))  # type: ignore[misc]
    for steps, seed in jobs:
        for number, one in enumerate(mine):
            kept.get(one, f"{steps} {seed}", lambda one=one, steps=steps, seed=seed: work.train(one, steps, seed))  # type: ignore[misc]
            print(f"{steps} steps, seed {seed}: {number + 1} of {len(mine)}", file=sys.stderr, flush=True)
    report(arguments, KeptLines(arguments.samples, setting) if arguments.samples else kept, groups, latencies, setting)


if __name__ == "__main__":
    main()
