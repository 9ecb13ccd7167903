"""All that a training run needs to go on exactly after a kill, in one file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latlas.errors import EnvironmentMismatchError, FileFormatError
from latlas.supernet.networks.tensor_file import check_tensors, read_tensors, write_record

_ADAM_TENSORS, _SGD_TENSORS = ("step", "exp_avg", "exp_avg_sq"), ("momentum_buffer",)


def save_training(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, Tensor],
    run: Mapping[str, Any],
    step: int,
    seconds: float,
) -> None:
    """Write all that a training run needs to go on exactly.

    Args:
        path: The file, replaced whole.
        model: Its parameters and buffers are kept.
        optimizer: An Adam, or an SGD with momentum, over the model's parameters.
        average: Averaged state by the model's names; empty where none is kept.
        run: What must be equal when the run goes on, as JSON.
        step: How many steps are done.
        seconds: How long they took.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.items()}
    for name, parameter in model.named_parameters():
        # Membership first: the state is a defaultdict, and a parameter that never had a gradient has none.
        if parameter in optimizer.state:
            state = optimizer.state[parameter]
            tensors |= {f"optimizer.{key}.{name}": state[key] for key in _tensors_of(optimizer)}
    write_record(path, "training", tensors, {"run": dict(run), "step": step, "seconds": seconds})


def load_training(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, Tensor],
    run: Mapping[str, Any],
) -> tuple[int, float]:
    """Step and seconds of a `save_training` file, after its tensors were copied into model, optimiser and average.

    Raises:
        UsageError: The file cannot be read.
        FileFormatError: It is broken, foreign, of another schema, or its tensors are not the model's.
        EnvironmentMismatchError: It is of another run than `run`; the message names what differs.
    """
    tensors, record = read_tensors(path, "training")
    stored, step, seconds = record.get("run"), record.get("step"), record.get("seconds")
    if not isinstance(stored, dict):
        raise FileFormatError(f"{path}: does not say which run it is of")
    if type(step) is not int or type(seconds) is not float or step < 0 or not 0 <= seconds < math.inf:
        raise FileFormatError(f"{path}: stands at step {step!r} after {seconds!r} seconds, which cannot be")
    # Through JSON, so that a tuple equals the list that it was written as.
    wanted = json.loads(json.dumps(dict(run)))
    for key in sorted(wanted.keys() | stored.keys()):
        if stored.get(key) != wanted.get(key):
            raise EnvironmentMismatchError(
                f"{path}: a run with {key} {stored.get(key)!r}, now it is {wanted.get(key)!r}; "
                "start anew without resuming, or name another checkpoint"
            )
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
        # Fused AdamW walks raw memory: its moments must be laid out as the parameters are, channels last or not.
        for name, moment in moments.items():
            key, _, parameter = name.partition(".")
            optimizer.state[parameters[parameter]][key] = moment.copy_(groups["optimizer"][name])
    return step, seconds


def _tensors_of(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    """What an optimiser keeps of a parameter."""
    return _SGD_TENSORS if isinstance(optimizer, torch.optim.SGD) else _ADAM_TENSORS


def _moments(
    stored: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter], keys: Sequence[str]
) -> dict[str, Tensor]:
    """Empty optimiser tensors for each parameter of which any is stored."""
    moments: dict[str, Tensor] = {}
    for name in {key.partition(".")[2] for key in stored} & parameters.keys():
        parameter = parameters[name].detach()
        for key in keys:
            # Fused kernels keep the step beside the parameter.
            empty = torch.zeros((), device=parameter.device) if key == "step" else torch.empty_like(parameter)
            moments[f"{key}.{name}"] = empty
    return moments
