"""Drawing for the portrait generator: a scene with a pool of textures, and pens that paint picture and mask together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

Points = NDArray[np.float64]
Colour = tuple[int, int, int]
Fill = Image.Image | Colour
Point = tuple[float, float]

SUPERSAMPLING = 2
_TURN = np.linspace(0.0, 2.0 * math.pi, 36, endpoint=False)


@dataclass
class Scene:
    """The picture while it is drawn, (height, width) supersampled pixels."""

    rng: np.random.Generator
    height: int
    width: int
    image: Image.Image = field(init=False)
    mask: Image.Image = field(init=False)
    pool: list[Image.Image] = field(init=False)

    def __post_init__(self) -> None:
        self.mask = Image.new("L", (self.width, self.height))
        self.pool = [_texture(self.rng, self.height, self.width) for _ in range(7)]
        self.image = self.pool[0].copy()

    def pick(self) -> Image.Image:
        """Any texture of the pool."""
        return self.pool[int(self.rng.integers(len(self.pool)))]


@dataclass
class Pen:
    """Draws on a scene in local coordinates. The mask under the pen becomes person if `person` is True, else background.

    `light`, -1..1, darkens textures towards their right side, or their left side if negative, so that parts look round.
    """

    scene: Scene
    matrix: Points
    origin: Points
    person: bool
    light: float = 0.0
    shadow: Image.Image = field(init=False)

    def __post_init__(self) -> None:
        ramp = np.linspace(0.0, 255.0 * abs(self.light), 256)[None, :: 1 if self.light > 0 else -1]
        self.shadow = Image.fromarray(ramp.astype(np.uint8))

    def moved(self, centre: Point, angle: float) -> "Pen":
        """A copy of the pen, turned by `angle` radians about a local point."""
        turn = rotation(angle)
        pivot = np.asarray(centre)
        origin = self.origin + (pivot - pivot @ turn.T) @ self.matrix.T
        return Pen(self.scene, self.matrix @ turn, origin, self.person, self.light)

    def polygon(self, points: Points | Sequence[Point], fill: Fill) -> None:
        """Fills a polygon, (n, 2) local points."""
        scene = self.scene
        pixels = np.asarray(points) @ self.matrix.T + self.origin
        left, top = np.floor(pixels.min(axis=0)).astype(int)
        right, bottom = np.ceil(pixels.max(axis=0)).astype(int) + 1
        box = (max(left, 0), max(top, 0), min(right, scene.width), min(bottom, scene.height))
        if box[2] <= box[0] or box[3] <= box[1]:
            return
        stencil = Image.new("L", (box[2] - box[0], box[3] - box[1]))
        flat = (pixels - (box[0], box[1])).ravel().tolist()
        ImageDraw.Draw(stencil).polygon(flat, fill=255)
        if isinstance(fill, Image.Image):
            scene.image.paste(fill.crop(box), box, stencil)
            if self.light:
                ramp = self.shadow.resize(stencil.size, Image.Resampling.NEAREST)
                scene.image.paste((0, 0, 0), box, ImageChops.multiply(ramp, stencil))
        else:
            scene.image.paste(fill, box, stencil)
        scene.mask.paste(255 if self.person else 0, box, stencil)

    def ellipse(self, centre: Point, radii: Point, fill: Fill, wobble: float = 0.0) -> None:
        """Fills an ellipse. `wobble` above 0 makes its rim uneven."""
        rim = np.ones_like(_TURN)
        if wobble:
            for waves in (2, 3, 5):
                rim += self.scene.rng.normal(0.0, wobble / waves) * np.cos(waves * _TURN + self.scene.rng.uniform(0, 7))
        self.polygon(np.stack([np.cos(_TURN) * rim * radii[0], np.sin(_TURN) * rim * radii[1]], 1) + centre, fill)

    def arc(self, centre: Point, radii: Point, fill: Fill, start: float, end: float) -> None:
        """Fills the segment of an ellipse between two angles, measured in turns, clockwise from the right."""
        turn = np.linspace(start, end, 24) * 2.0 * math.pi
        self.polygon(np.stack([np.cos(turn) * radii[0], np.sin(turn) * radii[1]], 1) + centre, fill)

    def limb(self, joints: Sequence[Point], radii: Sequence[float], fill: Fill) -> None:
        """Fills a chain of tapering capsules."""
        for (start, end), (first, last) in zip(pairwise(joints), pairwise(radii), strict=True):
            angle = math.atan2(end[1] - start[1], end[0] - start[0])
            half = np.linspace(-math.pi / 2, math.pi / 2, 9)
            cap = np.stack([np.cos(half + angle), np.sin(half + angle)], 1)
            self.polygon(np.concatenate([cap * last + end, -cap * first + start]), fill)

    def curve(self, points: Sequence[Point], fill: Fill) -> None:
        """Fills a closed curve that rounds the corners of a polygon (Chaikin, two rounds)."""
        corners = np.asarray(points, dtype=np.float64)
        for _ in range(2):
            following = np.roll(corners, -1, axis=0)
            corners = np.stack([0.75 * corners + 0.25 * following, 0.25 * corners + 0.75 * following], 1).reshape(-1, 2)
        self.polygon(corners, fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Fill) -> None:
        """Fills a rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill)


def rotation(angle: float) -> Points:
    """The 2x2 matrix of a turn by `angle` radians."""
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Whether an event of this probability happens."""
    return bool(rng.random() < probability)


def _colour(rng: np.random.Generator) -> Points:
    """A random colour, (3,) in 0..255: any hue, a warm one like skin and wood, or a grey."""
    kind = rng.random()
    value = rng.uniform(0.08, 1.0)
    if kind < 0.3:
        hue, saturation, value = rng.uniform(0.01, 0.12), rng.uniform(0.2, 0.65), rng.uniform(0.2, 0.97)
    elif kind < 0.5:
        hue, saturation = rng.random(), rng.uniform(0.0, 0.08)
    else:
        hue, saturation = rng.random(), rng.beta(1.6, 2.2)
    wheel = np.clip(np.abs((hue * 6.0 - np.array([0.0, 2.0, 4.0]) + 3.0) % 6.0 - 3.0) * -1.0 + 2.0, 0.0, 1.0)
    return np.asarray(255.0 * value * (1.0 - saturation * (1.0 - wheel)))


def solid(rng: np.random.Generator, dark: float = 1.0) -> Colour:
    """A plain colour, its channels times `dark`."""
    red, green, blue = (int(channel * dark) for channel in _colour(rng))
    return red, green, blue


def _noise(rng: np.random.Generator, size: tuple[int, int], cells: int) -> Image.Image:
    grid = rng.integers(0, 256, (cells, cells), dtype=np.uint8)
    return Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)


def _pattern(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A grey pattern, (height, width) of 0..255."""
    kind = rng.choice(["plain", "gradient", "stripes", "checks", "noise", "blobs", "speckle", "bricks"])
    size = (width, height)
    if kind == "plain":
        return Image.new("L", size, 60)
    if kind in ("noise", "blobs"):
        field_ = _noise(rng, size, int(rng.integers(3, 9)))
        if kind == "blobs":
            return field_.point([0] * 125 + [255] * 131)
        return Image.blend(field_, _noise(rng, size, int(rng.integers(16, 48))), rng.uniform(0.1, 0.6))
    if kind == "speckle":
        return _noise(rng, size, int(rng.integers(40, 90))).point([0] * 170 + [255] * 86)
    angle = rng.uniform(0.0, math.pi) if chance(rng, 0.5) else rng.integers(2) * math.pi / 2
    down, along = np.ogrid[0:height, 0:width]
    first = (along * math.cos(angle) + down * math.sin(angle)).astype(np.float32)
    second = (down * math.cos(angle) - along * math.sin(angle)).astype(np.float32)
    period = rng.uniform(0.03, 0.2) * max(size)
    if kind == "gradient":
        values = (first - first.min()) / (np.ptp(first) + 1e-6)
    elif kind == "stripes":
        values = first % period < period * rng.uniform(0.15, 0.7)
    elif kind == "checks":
        values = (first % period < period / 2) ^ (second % period < period / 2)
    else:
        row = np.floor(first / period)
        values = (first % period < 0.88 * period) & ((second + row % 2 * period) % (2 * period) < 1.88 * period)
    return Image.fromarray((values * 255).astype(np.uint8))


def _texture(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """An RGB texture: a pattern mixes two colours of random contrast. Persons and things use the same textures."""
    small = (max(width // SUPERSAMPLING, 1), max(height // SUPERSAMPLING, 1))
    base = _colour(rng)
    other = base + (_colour(rng) - base) * rng.uniform(0.1, 0.8)
    grey = _pattern(rng, *small)
    ramp = np.linspace(0.0, 1.0, 256)[:, None]
    table = (base * (1.0 - ramp) + other * ramp).astype(int)
    bands = [grey.point(table[:, channel].tolist()) for channel in range(3)]
    return Image.merge("RGB", bands).resize((width, height), Image.Resampling.BILINEAR)
