"""New batch-normalisation statistics for a subnet, estimated as in Once-for-All (Cai et al. 2020, arXiv 1908.09791).

The running statistics of a supernet are a mixture over all trained paths, and fit none of them. A subnet therefore needs
its own before it is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from latlas.errors import LatlasError, UsageError
from latlas.supernet.networks.network import Subnet


def recalibrate(subnet: Subnet, images: Iterable[Tensor]) -> Subnet:
    """The same subnet, in inference mode, whose batch normalisations have the statistics of these images.

    While the images pass through, each layer normalises by its batch. Its new statistics are the means of the batches'
    means and (biased) variances, weighted by the number of images in each batch. They replace the old ones; the weights
    do not change.

    Args:
        subnet: Changed in place.
        images: Batches `(N, 3, H, W)` in 0..1, of training data.

    Raises:
        UsageError: There is no batch, or a layer sees only one value per channel, which has no variance.
        LatlasError: The statistics are not finite.

    Example:
        >>> subnet = recalibrate(supernet.extract(architecture), [torch.rand(16, 3, 256, 256)])
    """
    device = next((parameter.device for parameter in subnet.parameters()), torch.device("cpu"))

    def passes() -> Iterator[int]:
        for batch in images:
            subnet.logits(batch.to(device, memory_format=torch.channels_last))
            yield batch.shape[0]

    renew_statistics(subnet, passes())
    return subnet


def renew_statistics(network: nn.Module, passes: Iterable[int]) -> None:
    """Do what `recalibrate` does, for any network.

    Each item of `passes` runs the forward pass of one batch and gives the number of its images.
    """
    layers = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    means = [torch.zeros(layer.num_features, dtype=torch.float64, device=device) for layer in layers]
    variances = [torch.zeros_like(mean) for mean in means]
    biased: dict[int, float] = {}
    momenta = [layer.momentum for layer in layers]
    count = 0

    def note_size(index: int) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            values = inputs[0].numel() // inputs[0].shape[1]
            if values < 2:
                raise UsageError("recalibration needs more than one value a channel; give more images a batch")
            biased[index] = (values - 1) / values

        return hook

    hooks = [layer.register_forward_pre_hook(note_size(index)) for index, layer in enumerate(layers)]
    try:
        network.eval()
        for layer in layers:
            # With momentum 1 the layer's buffers hold the statistics of the last batch alone; no second pass is needed.
            layer.train()
            layer.momentum = 1.0
        with torch.no_grad():
            for size in passes:
                count += size
                for index, layer in enumerate(layers):
                    means[index] += size * cast(Tensor, layer.running_mean)
                    variances[index] += size * biased[index] * cast(Tensor, layer.running_var)
    finally:
        for hook in hooks:
            hook.remove()
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        network.eval()
    if not count:
        raise UsageError("recalibration was given no images; it needs at least one batch")
    for layer, mean, variance in zip(layers, means, variances, strict=True):
        if not (mean.isfinite().all() and variance.isfinite().all()):
            raise LatlasError("recalibration met activations that are not finite; the weights have diverged")
        cast(Tensor, layer.running_mean).copy_(mean / count)
        cast(Tensor, layer.running_var).copy_(variance / count)
