"""Augmentation of whole batches in torch, on the batches' own device."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from latlas.arrays import FloatArray
from latlas.errors import UsageError
from latlas.supernet.data.void import float_joined, float_parts


@dataclass(frozen=True)
class Augmentation:
    """How strong each augmentation is; 0 switches it off.

    `zoom` and `stretch` are the largest relative changes of scale and of aspect, up or down. `shift` is a share of the size,
    `turn` is in degrees. `brightness`, `contrast`, `saturation` and `cast` (single channels) are the largest relative
    changes. The others are shares of images: `flip` mirrors them, `grey` takes their colour, `focus` blurs or sharpens
    them, `noise` adds noise, and `cutout` hides a rectangle.
    """

    zoom: float = 0.35
    stretch: float = 0.15
    shift: float = 0.12
    turn: float = 10.0
    flip: float = 0.5
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.4
    cast: float = 0.1
    grey: float = 0.05
    focus: float = 0.25
    noise: float = 0.2
    cutout: float = 0.15

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"augmentation {field.name} is {value!r}; it must be finite and at least 0")


def augment(
    images: Tensor, masks: Tensor, strength: Augmentation | None, rng: np.random.Generator, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Augmented images `(B, 3, h, w)` in 0..1, channels last, and masks `(B, 1, h, w)` in 0..1; `size` is `(h, w)`.

    `images` is `(B, 3, H, W)` in 0..1, `masks` is `(B, 1, H, W)` of 0 and 1. Void is -1 in both the given and the returned
    masks. A `strength` of None only resizes.
    """
    if strength is None:
        if images.shape[2:] != size:
            person, known = float_parts(masks)
            masks = float_joined(_resize(person, size), None if known is None else _resize(known, size))
            images = _resize(images, size)
        return images.contiguous(memory_format=torch.channels_last), masks
    person, known = float_parts(masks)
    channels = (images, person) if known is None else (images, person, known)
    warped = _warp(torch.cat(channels, dim=1), strength, rng, size)
    images, masks = warped[:, :3], float_joined(warped[:, 3:4], None if known is None else warped[:, 4:])
    images = _colour(images, strength, rng)
    images = _focus(images, strength, rng)
    images = _cutout(images, strength, rng)
    return images.clamp_(0, 1).contiguous(memory_format=torch.channels_last), masks.contiguous()


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)


def _tensor(values: FloatArray, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(like.device)


def _warp(x: Tensor, strength: Augmentation, rng: np.random.Generator, size: tuple[int, int]) -> Tensor:
    """One affine map per sample: zoom, stretch, turn, shift and flip. Outside the image is its mean colour and background."""
    count = len(x)
    zoom = np.exp(rng.uniform(-1, 1, count) * math.log1p(strength.zoom))
    stretch = np.exp(rng.uniform(-1, 1, count) * math.log1p(strength.stretch) / 2)
    angle = np.deg2rad(rng.uniform(-1, 1, count) * strength.turn)
    flip = np.where(rng.random(count) < strength.flip, -1.0, 1.0)
    aspect = x.shape[2] / x.shape[3]  # the grid is in shares of each side, the turn is in pixels
    matrix = np.empty((count, 2, 3))
    matrix[:, 0, 0], matrix[:, 0, 1] = flip * np.cos(angle) * zoom * stretch, -np.sin(angle) * zoom * aspect
    matrix[:, 1, 0], matrix[:, 1, 1] = flip * np.sin(angle) * zoom / aspect, np.cos(angle) * zoom / stretch
    matrix[:, :, 2] = rng.uniform(-1, 1, (count, 2)) * strength.shift
    grid = F.affine_grid(_tensor(matrix, x), [count, x.shape[1], *size], align_corners=False)
    fill = x.mean(dim=(2, 3), keepdim=True)
    fill[:, 3] = 0
    fill[:, 4:] = 1  # known
    return F.grid_sample(x - fill, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + fill


def _colour(images: Tensor, strength: Augmentation, rng: np.random.Generator) -> Tensor:
    """Change saturation, brightness, cast and contrast in one pass: one 3x3 matrix and one offset per sample."""
    count = len(images)

    def factor(amount: float, channels: int = 1) -> Tensor:
        return _tensor(1 + amount * rng.uniform(-1, 1, (count, channels, 1)), images)

    saturation = factor(strength.saturation)
    saturation[torch.from_numpy(rng.random(count) < strength.grey).to(images.device)] = 0
    matrix = torch.eye(3, device=images.device) * saturation + (1 - saturation) / 3
    matrix = matrix * factor(strength.brightness) * factor(strength.cast, 3)
    contrast = factor(strength.contrast)
    flat = images.reshape(count, 3, -1)
    mean = (matrix @ flat.mean(dim=2, keepdim=True)).mean(dim=1, keepdim=True)
    return torch.baddbmm((1 - contrast) * mean, contrast * matrix, flat).view_as(images)


def _focus(images: Tensor, strength: Augmentation, rng: np.random.Generator) -> Tensor:
    """Blur or sharpen some images, by a blend of the image and its blurred copy, and add noise to some."""
    chosen = np.flatnonzero(rng.random(len(images)) < strength.focus)
    if len(chosen):
        some = images[chosen]
        tent = torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0], device=images.device) / 9
        kernel = torch.outer(tent, tent).expand(3, 1, 5, 5)
        blurred = F.conv2d(F.pad(some, (2, 2, 2, 2), mode="replicate"), kernel, groups=3)
        amount = _tensor(rng.uniform(-1, 1, len(chosen)), images).view(-1, 1, 1, 1)
        images[chosen] = some + (blurred - some) * amount
    noised = np.flatnonzero(rng.random(len(images)) < strength.noise)
    if len(noised):
        generator = torch.Generator(images.device).manual_seed(int(rng.integers(2**62)))
        noise = torch.randn((len(noised), *images.shape[1:]), generator=generator, device=images.device)
        images[noised] += noise * _tensor(rng.uniform(0, 0.05, len(noised)), images).view(-1, 1, 1, 1)
    return images


def _cutout(images: Tensor, strength: Augmentation, rng: np.random.Generator) -> Tensor:
    """Cover a rectangle of some images with one colour. The mask stays, so the network learns to guess what is hidden."""
    height, width = images.shape[2:]
    images = images.contiguous()
    for index in np.flatnonzero(rng.random(len(images)) < strength.cutout):
        tall, wide = (int(rng.uniform(0.08, 0.3) * side) for side in (height, width))
        top, left = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
        colour = _tensor(rng.random(3), images).view(3, 1, 1)
        images[int(index), :, top : top + tall, left : left + wide] = colour
    return images
