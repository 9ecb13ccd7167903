"""Searches of cells by the proxy task in a second or two, killed and gone on with; a script that the tests run.

As `tiny_search.py`, whose scripted machine it uses: what a network takes follows from its multiply-adds.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from latlas.latency.runtime.conversion import OperatorLibrary
from latlas.search.config import SearchConfig
from latlas.search.proxy_config import ProxyConfig
from latlas.search.run import comparison, pipeline
from latlas.search.run.pipeline import search
from latlas.search.run.proxy import ProxyTask
from latlas.search.run.search_run import SearchTask
from latlas.spaces.space import Architecture
from latlas.spaces.text import parse_space
from latlas.supernet.backbone.feature_cache import FeatureCache
from latlas.supernet.backbone.split import Backbone, split_of
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.operators.build import timing_operator

_spec = importlib.util.spec_from_file_location("tiny_search", Path(__file__).with_name("tiny_search.py"))
assert _spec is not None and _spec.loader is not None
tiny: Any = importlib.util.module_from_spec(_spec)
sys.modules["tiny_search"] = tiny
_spec.loader.exec_module(tiny)

SPACE = tiny.SPACE = parse_space(
    "dpc:resolution=32,stem_channels=8,widths=8.8.16.16,depths=1.1.1.1,decoder_channels=8,backbone=m3-s3-m3-m3,branches=3,"
    "filters=8,rates=1.6,grids=1.2"
)
SPLIT = split_of(SPACE)


def milliseconds(architecture: Architecture) -> float:
    """With weight on the cell, and an error of its own: cells are to differ, as most multiply-adds are the backbone's."""
    own = zlib.crc32(str(architecture).encode()) / 2**32 - 0.5
    behind = sum(node.spec.macs for node in architecture.graph()[len(SPLIT.prefix) :])
    return (0.1 + (behind - 17_000) / 2e4) * (1 + 0.01 * own)


tiny.milliseconds = milliseconds
CONFIG = SearchConfig(
    budget_ms=0.2,
    baseline="aspp",
    rivals=("dpc_cityscapes",),
    strategy="near_best",
    evaluations=6,
    finalists=2,
    halving_steps=2,
    max_measurements=6,
    min_use=0.0,
    score_images=4,
    train_steps=4,
    batch_size=2,
    device="cpu",
    log_every=1,
    checkpoint_every_s=0.0,
    onnx=False,
)
PROXY = ProxyConfig(steps=9, copies=2, pruner="halving")


def run(
    out: Path, cache: Path, config: SearchConfig = CONFIG, proxy: ProxyConfig = PROXY, seed: int = 0
) -> dict[str, Any]:
    """One search in this process, on the scripted machine."""
    torch.set_num_threads(1)
    tiny.signal.signal(tiny.signal.SIGINT, tiny.signal.default_int_handler)
    tiny.Setting.bench = lambda self, reference="network": tiny.ScriptedBench()
    OperatorLibrary.describe = lambda self, graph: []  # type: ignore[method-assign]
    comparison.export = tiny.exported
    pipeline.write_report = lambda *arguments: None
    backbone = Backbone(SPLIT, [timing_operator(node.spec) for node in SPLIT.prefix])
    task = ProxyTask(SPACE, backbone, FeatureCache(cache), proxy)
    data = tiny.portraits()
    config = replace(config, seed=seed)
    return search(
        SearchTask(tiny.saved_predictor(), task, data[0], data[1], tiny.SETTING, config, Augmentation(), "drawn"), out
    )


def killed_in_features(number: int) -> None:
    """Have this process kill itself when so many sets of features were begun."""
    write: Any = FeatureCache._write
    done: list[int] = []

    def dying(self: FeatureCache, *arguments: Any) -> None:
        def rows() -> Any:
            yield from arguments[3]
            if len(done) == number:
                tiny.kill()

        done.append(0)
        write(self, *arguments[:3], rows(), *arguments[4:])

    FeatureCache._write = dying  # type: ignore[method-assign,assignment]


def damaged(cache: Path) -> None:
    """A bit of each set of features turned over."""
    for file in cache.glob("features-*/tap0.f16"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 4
        file.write_bytes(data)


def main(folder: Path) -> None:
    """Do every scenario in a folder of the same name, and print what each of them left."""
    out, cache, found = folder / "run", folder / "cache", {}
    tiny.ready()

    def forked(*arguments: Any, before: Callable[[], object] = tiny.nothing) -> int:
        return int(tiny.in_a_fork(lambda: (before(), run(out, cache, *arguments))))

    def moved(name: str) -> dict[str, Any]:
        left: dict[str, Any] = tiny.whole(out)
        out.rename(folder / name)
        return left

    assert forked() == 0
    found["unbroken"] = moved("unbroken")
    scenarios: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "while features are computed": (lambda: killed_in_features(2), tiny.nothing),
        "between two rungs": (lambda: tiny.killed_at_record(2, False), lambda: damaged(cache)),
        "while the rival is trained": (lambda: tiny.killed_in_training("rival", 1), tiny.nothing),
        "by Ctrl-C while a cell is trained": (lambda: tiny.interrupted_at_record(5), tiny.nothing),
    }
    for name, (before, after) in scenarios.items():
        if name.startswith("while features"):
            cache.rename(folder / "cache of the unbroken")
        status = forked(before=before)
        asked = (out / "result.json").exists()
        kept = len((out / "journal.jsonl").read_text().splitlines())
        again = forked(before=after)
        found[name] = {"signal": status & 127, "code": status >> 8, "again": again, "ended_early": not asked}
        found[name] |= {"kept": kept} | moved(name)
    for strategy, pruner in (("optuna-tpe", "hyperband"), ("evolution", "none"), ("random", "halving")):
        config = replace(CONFIG, strategy=strategy, halving_steps=0, rivals=(), finalists=1)
        assert forked(config, replace(PROXY, pruner=pruner)) == 0
        found[strategy] = moved(strategy)
    assert forked(CONFIG, replace(PROXY, from_nothing=True)) == 0
    found["from nothing"] = moved("from nothing")
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
