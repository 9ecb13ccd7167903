"""A whole search in a second or two, killed and gone on with where it is told; a script that the tests run.

The machine is scripted: what a network takes follows from its multiply-adds and a fixed error of its own, so that runs can be
compared number by number, and nothing is converted or exported for it. All else is real: predictor, supernet, trainings,
journal, kills. Each run is a process of its own, forked of this one before anything has started a thread.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
import traceback
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # what the first optimiser of a process would import, in seconds

from latlas.errors import InterruptedRunError
from latlas.latency.measuring.profile import Setting
from latlas.latency.measuring.stopwatch import Pass
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.latency.predictor.predictor_file import PredictorSample, SavedPredictor
from latlas.latency.runtime.conversion import OperatorLibrary
from latlas.latency.runtime.plugin import openvino_version
from latlas.latency.runtime.reference import reference_of
from latlas.registry import request_imports
from latlas.search.accuracy.search import AccuracySearchConfig
from latlas.search.config import SearchConfig
from latlas.search.report.history import read_history
from latlas.search.run import accuracy_phase, campaigns, comparison, finalists, pipeline
from latlas.search.run.accuracy_phase import phase_config
from latlas.search.run.export import Exported
from latlas.search.run.journal import RunJournal
from latlas.search.run.pipeline import search
from latlas.search.run.score import SharedWeights
from latlas.search.run.search_run import Listener, SearchTask
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.space import Architecture
from latlas.spaces.text import parse_architecture
from latlas.supernet.data.dataset import Dataset, synthetic, weights_sha256
from latlas.supernet.networks.network import Subnet, Supernet
from latlas.supernet.networks.weights_file import save_weights
from latlas.supernet.training.train import TrainProgress

SPACE = PortraitSpace(
    height=32,
    width=32,
    stem_channels=8,
    widths=(8, 8, 16, 16),
    depths=(1, 2, 1, 1),
    decoder_channels=8,
    aspp_channels=8,
    skip=True,
)
SETTING = Setting(passes=2, max_passes=4)
CONFIG = SearchConfig(
    budget_ms=0.28,
    evaluations=6,
    finalists=3,
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

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "latlas_example"
GRADIENT = replace(CONFIG, strategy="proxyless", arch_steps=5)
ALTERNATING = replace(GRADIENT, arch_training="alternating")
PREDICTED = replace(CONFIG, accuracy_predictor=True, evaluations=14, predicted=30)


def milliseconds(architecture: Architecture) -> float:
    own = zlib.crc32(str(architecture).encode()) / 2**32 - 0.5
    return (0.2 + architecture.macs / 2e6) * (1 + 0.01 * own)


class ScriptedBench(AbstractContextManager["ScriptedBench"]):
    """Times whatever it is given as `milliseconds` says; `speed` is how much slower this process finds networks."""

    openvino_version, reference_id = openvino_version(), reference_of("network").id
    rule = SETTING.rule
    speed, reference_ms = 1.0, 1.0
    open_benches = 0

    def __enter__(self) -> ScriptedBench:
        ScriptedBench.open_benches += 1
        return self

    def __exit__(self, *error: object) -> None:
        ScriptedBench.open_benches -= 1

    def time(self, network: Any) -> Pass:
        assert self.open_benches == 1
        one = parse_architecture(network.label.removeprefix("anchor "), SPACE)
        took = milliseconds(one) * self.speed * self.reference_ms
        return Pass((self.reference_ms,) * 2, (took,) * 2, at=time.time())


@cache
def saved_predictor() -> SavedPredictor:
    """The predictor of all runs, made at one time of one environment."""
    known = SPACE.sample(24, np.random.default_rng(5))
    took = [milliseconds(one) for one in known]
    predictor = LatencyPredictor().fit([one.graph() for one in known], took)
    samples = tuple(
        PredictorSample(str(a), ms, 0.99 * ms, 1.01 * ms, ms, "train") for a, ms in zip(known, took, strict=True)
    )
    environment = SETTING.environment_of(ScriptedBench.openvino_version, ScriptedBench.reference_id, 1.0)
    return SavedPredictor(predictor, environment, SPACE.text, {}, samples)


@cache
def untrained() -> Supernet:
    """The weights of all runs."""
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Supernet(SPACE).eval()


@cache
def portraits() -> list[Dataset]:
    """What all runs train on, and what they score on."""
    return [synthetic(count, 32, 32, split, keep_native=bool(split)) for split, count in ((0, 16), (1, 8))]


def ready() -> None:
    """Make what all runs share, before the first fork; a killed process loses nothing that it wrote, so nothing is synced."""
    saved_predictor(), portraits()
    os.fsync = lambda fd: None
    gc.collect()
    gc.freeze()  # or each process would copy what it only looks at


def run(out: Path, config: SearchConfig = CONFIG, listener: Listener | None = None, seed: int = 0) -> dict[str, Any]:
    """One search in this process, on the scripted machine."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started this may have it ignored
    Setting.bench = lambda self, reference="network": ScriptedBench()  # type: ignore[assignment,return-value]
    OperatorLibrary.describe = lambda self, graph: []  # type: ignore[method-assign]
    campaigns.SETTLE_SECONDS = 0.0
    comparison.export = exported
    accuracy_phase.phase_config = by_ridge
    pipeline.write_report = lambda *arguments: None
    supernet, data = untrained(), portraits()
    before = weights_sha256(supernet)
    scoring, config = SharedWeights(supernet), replace(config, seed=seed)
    task = SearchTask(saved_predictor(), scoring, data[0], data[1], SETTING, config, None, "drawn")
    result = search(task, out, listener)
    assert weights_sha256(supernet) == before  # whatever is trained is a copy
    return result


def by_ridge(config: SearchConfig) -> AccuracySearchConfig:
    """Without the network, whose learning takes seconds."""
    return replace(phase_config(config), kinds=("ridge",))


def exported(architecture: Architecture, subnet: Subnet, folder: Path, name: str) -> Exported:
    """As if it had been converted: its weights alone are written."""
    files = [folder / f"{name}.{ending}" for ending in ("xml", "json", "safetensors")]
    save_weights(subnet, files[-1])
    return Exported(architecture, *files)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at_record(number: int, cut: bool) -> None:
    """Have this process kill itself with the journal's record of that number on the disk, or half of it."""
    append, done = RunJournal._append, []

    def dying(self: RunJournal, record: dict[str, object]) -> None:
        append(self, record)
        done.append(record)
        if len(done) == number:
            if cut:
                with self.path.open("r+b") as file:
                    file.truncate(self.path.stat().st_size - 20)
            kill()

    RunJournal._append = dying  # type: ignore[method-assign]


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def interrupted_at_record(number: int) -> None:
    """Have this process be told to stop, as by Ctrl-C, while the journal's record of that number is written."""
    append, done = RunJournal._append, []

    def stopping(self: RunJournal, record: dict[str, object]) -> None:
        done.append(record)
        if len(done) == number:
            interrupt()
        append(self, record)

    RunJournal._append = stopping  # type: ignore[method-assign]


def killed_in_training(name: str, step: int, end: Callable[[], None] = kill) -> None:
    """Have this process end itself after a step of the first training of that name, its checkpoint written."""
    train = finalists.train_subnet

    def dying(*arguments: Any, **options: Any) -> Any:
        def on_progress(progress: TrainProgress) -> None:
            if options["checkpoint"].name.startswith(name) and progress.step > step:
                end()

        return train(*arguments, **options | {"on_progress": on_progress})

    finalists.train_subnet = dying


def slowed() -> None:
    """The machine of another day: all slower, and networks more than the reference."""
    ScriptedBench.speed, ScriptedBench.reference_ms = 1.03, 1.2


def nothing() -> None:
    """Nothing else than before."""


def in_a_fork(body: Callable[[], object]) -> int:
    """The wait status of a process that runs `body`."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            body()
            code = 0
        except InterruptedRunError as error:
            code = error.exit_code
        finally:
            if code == 1:
                traceback.print_exc()  # what the parent's frames would print is never reached
            os._exit(code)
    return os.waitpid(child, 0)[1]


def whole(out: Path) -> dict[str, Any]:
    """What a run left, but for times and places."""
    result = json.loads((out / "result.json").read_text())
    del result["seconds"], result["environment"]["started_at"], result["environment"]["state"]
    history = read_history(out / "history.parquet")[0].drop(columns="seconds")
    kinds = [json.loads(line).get("kind") for line in (out / "journal.jsonl").read_text().splitlines()]
    return {"result": result, "history": json.loads(history.to_json(orient="records")), "kinds": kinds}


def killed(
    out: Path, before: Callable[[], object], after: Callable[[], object], config: SearchConfig = CONFIG
) -> dict[str, Any]:
    """What is left of a run that `before` makes end, and that goes on once `after` was done."""
    status = in_a_fork(lambda: (before(), run(out, config)))
    found: dict[str, Any] = {
        "signal": status & 127,
        "code": status >> 8,
        "kept": len((out / "journal.jsonl").read_text().splitlines()),
    }
    found["trainings"] = [path.name for path in sorted((out / "trainings").iterdir())]
    asked = (out / "result.json").exists()
    return found | {"again": in_a_fork(lambda: (after(), run(out, config))), "ended_early": not asked} | whole(out)


def main(folder: Path) -> None:
    """Do every scenario in a folder of the same name, and print what each of them left."""
    out, found = folder / "run", {}
    scenarios: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "after the first campaign": (lambda: killed_at_record(1, False), nothing),
        "in the fourth record": (lambda: killed_at_record(4, True), nothing),
        "after the finalists": (lambda: killed_at_record(8, False), nothing),
        "while a finalist is trained": (lambda: killed_in_training("finalist", 1), nothing),
        "while the winner is trained": (lambda: killed_in_training("winner", 3), nothing),
        "by Ctrl-C while scoring": (lambda: interrupted_at_record(4), nothing),
        "by Ctrl-C while training": (lambda: killed_in_training("winner", 2, interrupt), nothing),
        "on a slower day": (lambda: killed_at_record(2, False), slowed),
    }
    ready()
    untrained()
    in_a_fork(lambda: run(out))
    found["unbroken"] = whole(out)
    for name, (before, after) in scenarios.items():
        out.rename(folder / f"before {name}")
        found[name] = killed(out, before, after)
    out.rename(folder / "unbroken")
    in_a_fork(lambda: run(out, GRADIENT))
    found["unbroken by gradients"] = whole(out)
    out.rename(folder / "by gradients")
    found["while gradients are taken"] = killed(out, lambda: killed_at_record(4, False), nothing, GRADIENT)
    out.rename(folder / "while gradients are taken")
    in_a_fork(lambda: run(out, PREDICTED))
    found["unbroken by prediction"] = whole(out)
    out.rename(folder / "by prediction")
    second = found["unbroken by prediction"]["kinds"].index("predicted quality") + 2
    found["after a round of prediction"] = killed(out, lambda: killed_at_record(second, False), nothing, PREDICTED)
    out.rename(folder / "after a round of prediction")
    in_a_fork(lambda: run(out, ALTERNATING))
    found["unbroken in turns"] = whole(out)
    out.rename(folder / "in turns")
    for name, record in (("while weights are trained", 4), ("after weights were trained", 8)):
        found[name] = killed(out, lambda record=record: killed_at_record(record, False), nothing, ALTERNATING)  # type: ignore[misc]
        out.rename(folder / name)
    # A strategy of another package, asked for by its name as the command line does.
    sys.path.append(str(EXAMPLE))
    request_imports(["latlas_example"])
    hill = replace(CONFIG, strategy="hill")
    in_a_fork(lambda: run(out, hill))
    found["unbroken by hill climbing"] = whole(out) | {"config": json.loads((out / "config.json").read_text())}
    out.rename(folder / "by hill climbing")
    found["while a hill is climbed"] = killed(out, lambda: killed_at_record(5, False), nothing, hill)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
