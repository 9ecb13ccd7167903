"""The checkpoint of a training: one file with everything the run needs to continue exactly after it was killed."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from latlas.errors import EnvironmentMismatchError, FileFormatError
from latlas.files.journal import typed_option
from latlas.files.records import one_line
from latlas.supernet.networks.tensor_file import check_tensors, read_tensors, write_record
from latlas.supernet.training.course import RECENT, Course

_OPTIONS = ("steps", "batch_size", "learning_rate", "seed")
"""Fields of a run that are options of the command line under the same name."""


class Reached(NamedTuple):
    """How far a saved training got: its steps, the seconds they took, and how the loss changed."""

    step: int
    seconds: float
    course: Course


_ADAM_TENSORS, _SGD_TENSORS = ("step", "exp_avg", "exp_avg_sq"), ("momentum_buffer",)


def save_training(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, Tensor],
    run: Mapping[str, Any],
    step: int,
    seconds: float,
    course: Course | None = None,
) -> None:
    """Write everything a training run needs to continue exactly.

    Args:
        path: The file. It is replaced whole.
        model: Its parameters and buffers are saved.
        optimizer: An Adam, or an SGD with momentum, over the model's parameters.
        average: Averaged parameters by their names in the model; empty without averaging.
        run: JSON that must be the same when the run is resumed.
        step: How many steps are done.
        seconds: How long they took.
        course: How the loss changed; None to leave it out.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.items()}
    for name, parameter in model.named_parameters():
        # Membership first: the state is a defaultdict, and a parameter that never had a gradient has none.
        if parameter in optimizer.state:
            state = optimizer.state[parameter]
            tensors |= {f"optimizer.{key}.{name}": state[key] for key in _tensors_of(optimizer)}
    losses = {"first": course.first, "recent": list(course.recent)} if course is not None else {}
    write_record(path, "training", tensors, {"run": dict(run), "step": step, "seconds": seconds, "losses": losses})


def load_training(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, Tensor],
    run: Mapping[str, Any],
) -> Reached:
    """Copy the tensors of a `save_training` file into model, optimiser and average, and return how far the run got.

    Raises:
        UsageError: The file cannot be read.
        FileFormatError: It is broken, is not one of Latlas', has another schema, or its tensors do not fit the model.
        EnvironmentMismatchError: It is of another run than `run`. The message says what differs and what to type.
    """
    tensors, record = read_tensors(path, "training")
    stored, step, seconds = record.get("run"), record.get("step"), record.get("seconds")
    if not isinstance(stored, dict):
        raise FileFormatError(f"{path}: does not say which run it is of")
    if type(step) is not int or type(seconds) is not float or step < 0 or not 0 <= seconds < math.inf:
        raise FileFormatError(f"{path}: stands at step {step!r} after {seconds!r} seconds, which cannot be")
    # Through JSON, because a tuple was written as a list.
    wanted = json.loads(json.dumps(dict(run)))
    _require_same(path, stored, wanted)
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
    for key, tensor in tensors.items():
        group, _, name = key.partition(".")
        if group not in groups:
            raise FileFormatError(f"{path}: has a tensor {key}, which no training checkpoint has")
        groups[group][name] = tensor
    parameters = dict(model.named_parameters())
    moments = _moments(groups["optimizer"], parameters, _tensors_of(optimizer))
    check_tensors(model.state_dict(), groups["model"], path)
    check_tensors(average, groups["average"], path)
    check_tensors(moments, groups["optimizer"], path)
    with torch.no_grad():
        for targets, values in ((model.state_dict(), groups["model"]), (average, groups["average"])):
            for name, target in targets.items():
                target.copy_(values[name])
        # Fused AdamW walks raw memory: its moments need the memory layout of the parameters, channels last or not.
        for name, moment in moments.items():
            key, _, parameter = name.partition(".")
            optimizer.state[parameters[parameter]][key] = moment.copy_(groups["optimizer"][name])
    return Reached(step, seconds, _course(record.get("losses"), path))


def _require_same(path: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    differing = [key for key in sorted(wanted.keys() | stored.keys()) if stored.get(key) != wanted.get(key)]
    if not differing:
        return
    listed = "; ".join(
        f"{key} was {one_line(repr(stored.get(key)), 120)}, is {one_line(repr(wanted.get(key)), 120)}"
        for key in differing
    )
    typed = [typed_option(f"--{key.replace('_', '-')}", stored.get(key)) for key in differing if key in _OPTIONS]
    same = " ".join(typed) if len(typed) == len(differing) else "what it was begun with"
    raise EnvironmentMismatchError(
        f"{path} is of a training that was begun otherwise: {listed}; go on with {same}, or --force to begin anew "
        "(in Python resume=False)"
    )


def _course(record: object, path: Path) -> Course:
    """How the loss changed; empty if the file does not say."""
    if not record:
        return Course()
    if not isinstance(record, dict) or not isinstance(record.get("recent"), list):
        raise FileFormatError(f"{path}: its losses are {one_line(repr(record), 80)}, which cannot be")
    found = [record.get("first"), *record["recent"]]
    if not all(isinstance(loss, float) and math.isfinite(loss) for loss in found if loss is not None):
        raise FileFormatError(f"{path}: its losses are {one_line(repr(record), 80)}, which cannot be")
    return Course(found[0], deque(found[1:], maxlen=RECENT))


def _tensors_of(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    """The tensors that an optimiser keeps for each parameter."""
    return _SGD_TENSORS if isinstance(optimizer, torch.optim.SGD) else _ADAM_TENSORS


def _moments(
    stored: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter], keys: Sequence[str]
) -> dict[str, Tensor]:
    """Empty optimiser tensors for each parameter that has any in the file."""
    moments: dict[str, Tensor] = {}
    for name in {key.partition(".")[2] for key in stored} & parameters.keys():
        parameter = parameters[name].detach()
        for key in keys:
            # Fused kernels keep the step beside the parameter.
            empty = torch.zeros((), device=parameter.device) if key == "step" else torch.empty_like(parameter)
            moments[f"{key}.{name}"] = empty
    return moments
