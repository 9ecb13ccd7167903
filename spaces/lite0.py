"""EfficientNet-Lite0 (Apache-2.0, Google) as a chain of operators; `supernet/backbone/lite0.py` reads its weights."""

from __future__ import annotations

from latlas.spaces.operators.spec import OpSpec

NAME = "efficientnet_lite0"
STEM_CHANNELS = 32
# Repeats, kernel, stride of the first, expansion, output channels of each group of blocks.
_GROUPS = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip


def lite0_encoder(height: int, width: int) -> tuple[OpSpec, list[OpSpec]]:
    """The stem and the 16 blocks for images of this size, without the 1x1 to 1280 channels, which only a classifier needs."""
    stem = OpSpec("lite_stem", 3, STEM_CHANNELS, height, width, 2, 3)
    blocks, channels, size = list[OpSpec](), STEM_CHANNELS, stem.output_size
    for repeats, kernel, first_stride, expansion, out_channels in _GROUPS:
        for repeat in range(repeats):
            stride = 1 if repeat else first_stride
            hidden = channels * expansion
            block = OpSpec("lite_mbconv", channels, out_channels, *size, stride, kernel, hidden_channels=hidden)
            blocks.append(block)
            channels, size = out_channels, block.output_size
    return stem, blocks
