import json
import math
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from latlas.errors import (
    DivergedError,
    EnvironmentMismatchError,
    FileFormatError,
    InterruptedRunError,
    LatlasError,
    UsageError,
)
from latlas.spaces.portrait import PortraitSpace
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.data.dataset import synthetic
from latlas.supernet.networks.loss import segmentation_loss
from latlas.supernet.networks.network import Subnet, Supernet
from latlas.supernet.networks.recalibrate import recalibrate
from latlas.supernet.networks.weights_file import save_weights
from latlas.supernet.training.course import Course
from latlas.supernet.training.train import TrainConfig, TrainProgress, train_subnet, train_supernet

TINY = PortraitSpace(
    height=32, width=32, widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), stem_channels=8, decoder_channels=8, aspp_channels=8
)
CONFIG = TrainConfig(steps=6, batch_size=4, ema_decay=0.9, seed=3, device="cpu", log_every=2)


@pytest.fixture(scope="module")
def dataset():
    return synthetic(10, 32, 32, seed=0)


def fresh_subnet():
    torch.manual_seed(0)
    return Subnet(TINY.random(np.random.default_rng(0)).graph())


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def stop_after(steps):
    calls = iter(range(1, steps + 1))
    return lambda: next(calls) == steps


def test_loss_by_hand():
    logits = torch.zeros(1, 1, 1, 4)
    masks = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 1, 4)
    # p = 0.5 everywhere: cross-entropy ln 2; Dice 1 - (2 * 1 + 1) / (2 + 2 + 1).
    assert segmentation_loss(logits, masks).item() == pytest.approx(math.log(2) + 0.4)
    assert segmentation_loss(100 * (2 * masks - 1), masks).item() == pytest.approx(0.0, abs=1e-6)
    empty = torch.zeros(1, 1, 2, 2)
    assert segmentation_loss(empty - 100, empty).item() == pytest.approx(0.0, abs=1e-6)


def test_learning_rate_by_hand():
    config = TrainConfig(steps=100, learning_rate=1.0, min_learning_rate_share=0.1, warmup_steps=4)
    assert config.learning_rate_at(0, 0.0) == pytest.approx(0.2)
    assert config.learning_rate_at(4, 0.0) == pytest.approx(1.0)
    assert config.learning_rate_at(50, 0.5) == pytest.approx(0.1 + 0.9 * 0.5)
    assert config.learning_rate_at(99, 1.0) == pytest.approx(0.1)
    # A warm-up is never more than a tenth of the steps.
    assert TrainConfig(steps=5, learning_rate=1.0, warmup_steps=50).learning_rate_at(0, 0.0) == 1.0


def test_training_lowers_the_loss_and_reports(dataset):
    reports: list[TrainProgress] = []
    config = TrainConfig(steps=40, batch_size=8, learning_rate=1e-2, log_every=15, device="cpu")
    subnet = fresh_subnet()
    assert train_subnet(subnet, dataset, config, on_progress=reports.append) is subnet
    assert not subnet.training
    assert [report.step for report in reports] == [15, 30, 40]
    assert all(report.steps == 40 for report in reports)
    assert reports[-1].loss < 0.8 * reports[0].loss
    assert reports[0].eta_s > 0
    assert reports[-1].eta_s == 0
    assert reports[0].seconds < reports[-1].seconds


def test_the_same_seed_gives_the_same_weights_and_another_does_not(dataset):
    state = torch.get_rng_state()
    first = train_supernet(TINY, dataset, CONFIG)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert same(first, train_supernet(TINY, dataset, CONFIG))
    other = TrainConfig(steps=6, batch_size=4, ema_decay=0.9, seed=4, device="cpu")
    assert not same(first, train_supernet(TINY, dataset, other))


def test_only_operators_that_were_drawn_are_trained(dataset):
    config = TrainConfig(steps=1, batch_size=4, seed=3, device="cpu")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        start = Supernet(TINY).state_dict()
    trained = train_supernet(TINY, dataset, config).state_dict()
    changed = {name.split(".")[1] for name in start if not torch.equal(start[name], trained[name])}
    layers = [{key for key in changed if key.startswith(f"{layer:02d}_")} for layer in range(1, 5)]
    assert [len(keys) for keys in layers] == [1, 1, 1, 1]


@pytest.mark.parametrize("fresh", ["supernet", "subnet"])
@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_a_resumed_run_ends_where_an_unbroken_one_does(dataset, tmp_path, fresh, ema_decay):
    config = TrainConfig(steps=6, batch_size=4, ema_decay=ema_decay, seed=3, device="cpu")
    path = tmp_path / "training.safetensors"

    def run(**options):
        if fresh == "supernet":
            return train_supernet(TINY, dataset, config, **options)
        return train_subnet(fresh_subnet(), dataset, config, **options)

    straight = run(augmentation=Augmentation())
    with pytest.raises(InterruptedRunError, match=r"after step 3 of 6; saved in .*training\.safetensors"):
        run(augmentation=Augmentation(), checkpoint=path, stop=stop_after(3))
    assert same(run(augmentation=Augmentation(), checkpoint=path), straight)
    # The run has ended: asked again, it returns at once.
    assert same(run(augmentation=Augmentation(), checkpoint=path, stop=lambda: True), straight)


def test_ctrl_c_waits_for_the_step_and_is_resumable(dataset, tmp_path):
    path = tmp_path / "training.safetensors"
    handler = signal.getsignal(signal.SIGINT)

    def press(report):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(InterruptedRunError, match="after step 2 of 6; saved in"):
        train_supernet(TINY, dataset, CONFIG, checkpoint=path, on_progress=press)
    assert signal.getsignal(signal.SIGINT) is handler
    assert same(train_supernet(TINY, dataset, CONFIG, checkpoint=path), train_supernet(TINY, dataset, CONFIG))
    with pytest.raises(InterruptedRunError, match="nothing is kept, as no checkpoint was named"):
        train_supernet(TINY, dataset, CONFIG, stop=lambda: True)


def test_a_killed_run_goes_on_from_its_last_checkpoint(dataset, tmp_path):
    path = tmp_path / "training.safetensors"
    config = TrainConfig(steps=6, batch_size=4, ema_decay=0.9, seed=3, device="cpu", log_every=5, checkpoint_every_s=0)

    def die(report):
        raise MemoryError

    with pytest.raises(MemoryError):
        train_supernet(TINY, dataset, config, checkpoint=path, on_progress=die)
    reports: list[TrainProgress] = []
    quiet = TrainConfig(steps=6, batch_size=4, ema_decay=0.9, seed=3, device="cpu", log_every=1)
    resumed = train_supernet(TINY, dataset, quiet, checkpoint=path, on_progress=reports.append)
    assert [report.step for report in reports] == [5, 6]
    assert same(resumed, train_supernet(TINY, dataset, quiet))


def test_a_checkpoint_of_another_run_is_refused(dataset, tmp_path):
    path = tmp_path / "training.safetensors"
    train_supernet(TINY, dataset, CONFIG, checkpoint=path)
    with pytest.raises(
        EnvironmentMismatchError,
        match=r"training\.safetensors is of .*: seed was 3, is 4; go on with --seed 3, or --force",
    ):
        train_supernet(TINY, dataset, replace(CONFIG, seed=4), checkpoint=path)
    with pytest.raises(EnvironmentMismatchError, match="begun otherwise: data was"):
        train_supernet(TINY, synthetic(10, 32, 32, seed=1), CONFIG, checkpoint=path)
    with pytest.raises(EnvironmentMismatchError, match="begun otherwise: augmentation was 'None', is 'Augmentation"):
        train_supernet(TINY, dataset, CONFIG, Augmentation(), checkpoint=path)
    with pytest.raises(EnvironmentMismatchError, match="begun otherwise: network was"):
        train_supernet(replace(TINY, width=64), dataset, CONFIG, checkpoint=path)
    save_weights(fresh_subnet(), path)
    with pytest.raises(FileFormatError, match="'latlas-subnet'; latlas-training is needed"):
        train_supernet(TINY, dataset, CONFIG, checkpoint=path)
    assert not train_supernet(TINY, dataset, CONFIG, checkpoint=path, resume=False).training


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda record, tensors: record.update(step=-1), "stands at step -1"),
        (lambda record, tensors: record.update(step="2"), "stands at step '2'"),
        (lambda record, tensors: record.update(seconds=float("nan")), "after nan seconds"),
        (lambda record, tensors: record.update(run=[]), "which run it is of"),
        (
            lambda record, tensors: tensors.pop(next(key for key in tensors if "exp_avg." in key)),
            "lacks the tensor exp",
        ),
        (lambda record, tensors: tensors.pop(next(key for key in tensors if "average." in key)), "lacks the tensor"),
        (lambda record, tensors: tensors.update({"optimizer.step.other": torch.ones(())}), "a tensor step.other"),
        (lambda record, tensors: tensors.update({"other.weight": torch.ones(1)}), "a tensor other.weight"),
    ],
)
def test_a_broken_checkpoint_is_refused_before_anything_changes(dataset, tmp_path, edit, message):
    path = tmp_path / "training.safetensors"
    train_subnet(fresh_subnet(), dataset, CONFIG, checkpoint=path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors, record = load_file(path), json.loads(metadata["record"])
    edit(record, tensors)
    save_file(tensors, path, metadata | {"record": json.dumps(record)})
    subnet = fresh_subnet()
    with pytest.raises(FileFormatError, match=rf"training\.safetensors: .*{message}"):
        train_subnet(subnet, dataset, CONFIG, checkpoint=path)
    assert same(subnet, fresh_subnet())


def test_a_path_that_cannot_be_written_is_said_before_training(dataset, tmp_path):
    reports: list[TrainProgress] = []
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot write .*x\.safetensors"):
        train_supernet(
            TINY, dataset, CONFIG, checkpoint=tmp_path / "file" / "x.safetensors", on_progress=reports.append
        )
    assert not reports


def test_a_time_limit_ends_the_training_annealed(dataset, monkeypatch):
    now = iter(range(10_000))
    monkeypatch.setattr("latlas.supernet.training.train.time.monotonic", lambda: float(next(now)))
    reports: list[TrainProgress] = []
    config = TrainConfig(steps=1000, batch_size=4, log_every=5, device="cpu")
    train_subnet(fresh_subnet(), dataset, config, on_progress=reports.append, time_limit_s=60)
    assert 10 < reports[-1].step < 60
    assert reports[-1].step % 5
    assert reports[0].eta_s > 30
    assert reports[-1].eta_s == 0


def test_averaged_weights_are_the_bias_corrected_mean(dataset):
    def train(ema_decay, steps):
        # The schedule is flat, so that shorter runs are the beginning of longer ones.
        config = TrainConfig(
            steps=steps, batch_size=4, min_learning_rate_share=1.0, warmup_steps=0, ema_decay=ema_decay, device="cpu"
        )
        return dict(train_subnet(fresh_subnet(), dataset, config).named_parameters())

    states = [train(None, steps) for steps in (1, 2, 3)]
    averaged = train(0.5, 3)
    for name, parameter in averaged.items():
        first, second, third = (state[name] for state in states)
        torch.testing.assert_close(parameter, (first + 2 * second + 4 * third) / 7)


def test_averaged_weights_get_statistics_of_their_own(dataset):
    config = TrainConfig(steps=3, batch_size=5, ema_decay=0.5, device="cpu")
    subnet = train_subnet(fresh_subnet(), dataset, config, Augmentation())
    before = {name: buffer.clone() for name, buffer in subnet.named_buffers() if "running" in name}
    # Two batches are an epoch here, and the first layer's mean does not depend on how an epoch is shuffled.
    recalibrate(subnet, (dataset.images.float() / 255).split(5))
    first = next(name for name in before if "running_mean" in name)
    torch.testing.assert_close(subnet.get_buffer(first), before[first])


class Noting(torch.nn.Module):
    """Notes the images it is given; the graph is a real one's."""

    def __init__(self):
        super().__init__()
        self.graph, self.scale, self.seen = fresh_subnet().graph, torch.nn.Parameter(torch.ones(1)), []

    def logits(self, images):
        self.seen.append(images)
        return self.scale * images[:, :1]


def test_an_epoch_goes_over_the_data_once_and_each_in_another_order(dataset):
    network = Noting()
    train_subnet(network, dataset, TrainConfig(steps=4, batch_size=5, device="cpu"))
    keys = {image.sum().item(): index for index, image in enumerate(dataset.images.long())}
    seen = [keys[round(image.double().mul(255).sum().item())] for images in network.seen for image in images]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]
    assert all(images.is_contiguous(memory_format=torch.channels_last) for images in network.seen)


def test_what_is_not_finite_ends_the_training(dataset):
    subnet = fresh_subnet()
    torch.nn.init.constant_(next(subnet.parameters()), float("nan"))
    with pytest.raises(LatlasError, match=r"at step 0 the loss is nan.*use a lower learning_rate than 0.002"):
        train_subnet(subnet, dataset, CONFIG)


def test_a_training_that_diverges_ends_with_an_error_and_leaves_nothing_to_go_on_from(dataset, tmp_path):
    """Finite, and far above what a network has that knows nothing: 53,545 was once kept as a result."""
    config, path = TrainConfig(steps=30, batch_size=4, learning_rate=100.0, device="cpu"), tmp_path / "t.safetensors"
    with pytest.raises(DivergedError, match=r"subnet \w+ diverged: its loss was [\d.]+ at first and is .*than 100$"):
        train_subnet(fresh_subnet(), dataset, config, checkpoint=path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [
        ([1.3] * 30, False),
        ([1.3, *[2.9] * 30], False),  # worse than nothing learnt, but near it
        ([1.3, *[3.1] * 30], True),
        ([1.3, 9e9, *[1.0] * 20], False),  # it came back
        ([4.0, *[5.9] * 30], False),  # it began so
        ([4.0, *[6.1] * 30], True),
        ([50_000.0], False),  # one step says nothing
        ([], False),
    ],
)
def test_what_diverged_is(losses, diverged):
    course = Course()
    for loss in losses:
        course.add(loss)
    if diverged:
        with pytest.raises(DivergedError, match="it diverged"):
            course.require_learning("it", 0.1)
    else:
        course.require_learning("it", 0.1)


def test_a_time_limit_that_is_over_at_once_reports_what_was_done(dataset, tmp_path, monkeypatch):
    path = tmp_path / "t.safetensors"
    config = TrainConfig(steps=1000, batch_size=4, log_every=2, device="cpu")
    stops = iter([False] * 6 + [True])
    with pytest.raises(InterruptedRunError, match="interrupted after step 7 of 1000"):
        train_subnet(fresh_subnet(), dataset, config, checkpoint=path, stop=lambda: next(stops))
    reports: list[TrainProgress] = []
    train_subnet(fresh_subnet(), dataset, config, checkpoint=path, on_progress=reports.append, time_limit_s=1e-9)
    assert [(one.step, one.first_step, one.steps) for one in reports] == [(7, 7, 1000)]
    assert 0.3 < reports[0].loss < 3
    assert path.exists()


def test_another_config_is_refused_with_what_to_type(dataset, tmp_path):
    path = tmp_path / "t.safetensors"
    stops = iter([False, True])
    config = TrainConfig(steps=9, batch_size=4, device="cpu")
    with pytest.raises(InterruptedRunError):
        train_subnet(fresh_subnet(), dataset, config, checkpoint=path, stop=lambda: next(stops))
    other = TrainConfig(steps=8, batch_size=4, learning_rate=0.5, device="cpu")
    message = (
        r"learning_rate was 0\.002, is 0\.5; steps was 9, is 8; go on with --learning-rate 0\.002 --steps 9, or --force"
    )
    with pytest.raises(EnvironmentMismatchError, match=message):
        train_subnet(fresh_subnet(), dataset, other, checkpoint=path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"learning_rate": float("inf")}, "learning_rate is inf"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0"),
        ({"min_learning_rate_share": 2.0}, "min_learning_rate_share is 2.0"),
        ({"device": "tpu"}, "unknown device 'tpu'; known: auto, cpu, cuda"),
    ],
)
def test_impossible_configs_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(**changes)


def test_what_does_not_fit_is_said(dataset):
    with pytest.raises(UsageError, match="crops are 48x32; the network needs multiples of 32"):
        train_supernet(TINY, dataset, TrainConfig(height=48, device="cpu"))
    with pytest.raises(UsageError, match="the network has 3 classes"):
        train_supernet(PortraitSpace(num_classes=3), dataset, CONFIG)
    with pytest.raises(UsageError, match="time_limit_s is 0"):
        train_supernet(TINY, dataset, CONFIG, time_limit_s=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_said(dataset):
    with pytest.raises(UsageError, match="finds no CUDA device here"):
        train_supernet(TINY, dataset, TrainConfig(device="cuda"))
