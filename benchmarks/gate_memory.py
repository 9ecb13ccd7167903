"""Memory of a gate gradient by the number of operators of a layer, in every mode.

    python benchmarks/gate_memory.py [--operators 2 3 5 7] [--resolution 256] [--batch 8] [--layers 2 4 4 4]

Each figure comes from a process of its own, on one thread. `kept_bytes` is the most that autograd kept at once for the backward
pass (different storages, without weights). `rss_bytes` is how much the process's peak resident memory grew beyond supernet and
data. `seconds` is the time of one gradient after a first one. `path` is the cost of one path: the forward and backward pass of
the active path alone, without gates, back to the first searchable layer's output. The active operators, and the first of each
space, are `mbconv_k3`, the largest. Prints JSON with the modes side by side, and each over `path`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from latlas.spaces.portrait import SPACE_OPERATORS, PortraitSpace
from latlas.spaces.space import Architecture
from latlas.supernet.networks.gates import MODES, batch_statistics, gate_gradients
from latlas.supernet.networks.loss import segmentation_loss
from latlas.supernet.networks.network import Supernet, logits_graph, run_graph

PATH = "path"
FIRST_SEARCHABLE = 1
"""Of a graph's nodes: the stem is before it."""


class Kept:
    """A tensor that autograd keeps, counted while it does."""

    def __init__(self, count: Count, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self.count, self.tensor, self.key, self.size = count, tensor.detach(), storage.data_ptr(), storage.nbytes()
        count.add(self, 1)

    def __del__(self) -> None:
        self.count.add(self, -1)


class Count:
    """Bytes that are kept now, and the most there were; storages of `network` are not counted."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.ignored = {tensor.untyped_storage().data_ptr() for tensor in network.state_dict().values()}
        self.users: dict[int, int] = {}
        self.now = self.most = 0

    def add(self, kept: Kept, users: int) -> None:
        before = self.users.get(kept.key, 0)
        self.users[kept.key] = before + users
        if kept.key not in self.ignored and 0 in (before, before + users):
            self.now += users * kept.size
            self.most = max(self.most, self.now)


def path_gradient(supernet: Supernet, images: Tensor, masks: Tensor, architecture: Architecture) -> None:
    """Forward and backward pass of one path, back to what the first searchable layer puts out, weights fixed."""
    graph = logits_graph(architecture.graph())
    for parameter in supernet.parameters():
        parameter.requires_grad_(False)

    def module(index: int) -> Callable[..., Tensor]:
        operator = supernet.operator(index, graph[index].spec)
        return operator if index != FIRST_SEARCHABLE else lambda x: operator(x).requires_grad_()

    with batch_statistics(supernet):
        segmentation_loss(run_graph(graph, module, images), masks).backward()


def one(mode: str, operators: int, resolution: int, batch: int, layers: tuple[int, ...]) -> dict[str, Any]:
    """Memory and time of one mode, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    space = PortraitSpace(height=resolution, width=resolution, depths=layers, operators=SPACE_OPERATORS[:operators])
    supernet = Supernet(space).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
    images = torch.rand(batch, 3, resolution, resolution).contiguous(memory_format=torch.channels_last)
    masks = (torch.rand(batch, 1, resolution, resolution) > 0.5).float()
    architecture = space.architecture([SPACE_OPERATORS[0]] * sum(layers))
    pair = np.tile([0, 1], (sum(layers), 1)).tolist() if mode == "two" else None

    def gradient() -> None:
        if mode == PATH:
            path_gradient(supernet, images, masks, architecture)
        else:
            gate_gradients(supernet, images, masks, architecture, mode, pair)

    before = peak_rss_bytes()
    gradient()
    rss_bytes = peak_rss_bytes() - before
    started = time.monotonic()
    gradient()
    seconds = time.monotonic() - started
    count = Count(supernet)
    with saved_tensors_hooks(lambda tensor: Kept(count, tensor), lambda kept: kept.tensor):
        gradient()
    return {"kept_bytes": count.most, "rss_bytes": rss_bytes, "seconds": seconds}


def peak_rss_bytes() -> int:
    """The most resident memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def in_a_process(mode: str, operators: int, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-P", __file__, "--mode", mode, "--operators", str(operators)]
    command += ["--resolution", str(arguments.resolution), "--batch", str(arguments.batch), "--layers"]
    done = subprocess.run([*command, *map(str, arguments.layers)], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    print(mode, operators, json.dumps(found), file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operators", type=int, nargs="+", default=[2, 3, 5, 7])
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--layers", type=int, nargs=4, default=[2, 4, 4, 4])
    parser.add_argument("--mode", choices=(PATH, *MODES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.mode:
        layers = tuple(arguments.layers)
        found = one(arguments.mode, arguments.operators[0], arguments.resolution, arguments.batch, layers)
        print(json.dumps(found))
        return
    path = in_a_process(PATH, 1, arguments)
    rows = []
    for operators in arguments.operators:
        row: dict[str, Any] = {"operators": operators}
        for mode in MODES:
            found = in_a_process(mode, operators, arguments)
            row[mode] = found | {f"{key}_over_path": found[key] / path[key] for key in path}
        rows.append(row)
    record = {"resolution": arguments.resolution, "batch": arguments.batch, "layers": arguments.layers, "path": path}
    print(json.dumps(record | {"torch": torch.__version__, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
