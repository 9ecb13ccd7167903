"""A procedural portrait generator. It draws persons among things so that only their shape tells them apart.

Clothes, skin, hair, walls and objects take their textures from one pool, so colour does not show what is a person. Lamps,
balls, armchairs and bottles have ellipses and boxes like a person, so no single part shows it either. Everything is drawn at
twice the size and then reduced.
"""

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from latlas.errors import UsageError
from latlas.supernet.data.drawn.drawing import SUPERSAMPLING, Pen, Point, Scene, chance, rotation, solid
from latlas.supernet.data.drawn.person import draw_person


def _thing(scene: Scene, unit: float, centre: Point) -> None:
    """Draws an object that is not a person, about two local units across. It clears the mask under it."""
    rng = scene.rng
    angle = rng.normal(0.0, 0.1) if chance(rng, 0.7) else rng.uniform(0.0, 6.3)
    light = rng.uniform(0.0, 0.5) * rng.choice([-1, 1])
    pen = Pen(scene, rotation(angle) * unit, np.asarray(centre), False, light)
    first, second = scene.pick(), scene.pick()
    kind = rng.choice(
        ["ball", "box", "lamp", "tree", "bottle", "frame", "chair", "shelf", "plant", "arch", "cone", "pole"]
    )
    if kind == "ball":
        pen.ellipse((0, 0), (rng.uniform(0.4, 1.0), rng.uniform(0.4, 1.0)), first, 0.08 * rng.random())
    elif kind == "box":
        pen.box(-rng.uniform(0.3, 1), -rng.uniform(0.3, 1), rng.uniform(0.3, 1), rng.uniform(0.3, 1), first)
    elif kind == "lamp":
        pen.limb([(0, -0.2), (0, 1.6)], [0.06, 0.06], second)
        pen.ellipse((0, 1.6), (0.45, 0.12), second)
        if chance(rng, 0.5):
            pen.ellipse((0, -0.4), (0.5, 0.5), first)
        else:
            pen.polygon([(-0.3, -0.9), (0.3, -0.9), (0.6, 0.0), (-0.6, 0.0)], first)
    elif kind == "tree":
        pen.limb([(0, 0), (0, 2)], [0.12, 0.2], second)
        for _ in range(4):
            pen.ellipse((rng.uniform(-0.5, 0.5), rng.uniform(-0.9, 0)), (0.5, 0.45), first, 0.15)
    elif kind == "bottle":
        pen.curve(
            [
                (-0.12, -1),
                (0.12, -1),
                (0.14, -0.4),
                (0.45, 0.0),
                (0.45, 1.1),
                (-0.45, 1.1),
                (-0.45, 0.0),
                (-0.14, -0.4),
            ],
            first,
        )
        pen.box(-0.42, 0.3, 0.42, 0.75, second)
    elif kind == "frame":
        pen.box(-0.8, -1, 0.8, 1, first)
        pen.box(-0.66, -0.86, 0.66, 0.86, second)
        pen.ellipse((rng.uniform(-0.3, 0.3), 0.1), (0.3, 0.4), scene.pick())
    elif kind == "chair":
        pen.curve([(-0.8, -1), (0.8, -1), (0.9, 1.2), (-0.9, 1.2)], first)
        pen.limb([(-0.95, 0.2), (-0.95, 1.2)], [0.22, 0.22], second)
        pen.limb([(0.95, 0.2), (0.95, 1.2)], [0.22, 0.22], second)
    elif kind == "shelf":
        pen.box(-1.2, 0, 1.2, 0.1, first)
        for i in range(6):
            pen.box(-1.1 + i * 0.36, -rng.uniform(0.3, 0.9), -0.78 + i * 0.36, 0, scene.pick())
    elif kind == "plant":
        for turn in rng.uniform(-1.2, 1.2, 6):
            pen.limb([(0, 0.5), (math.sin(turn), 0.4 - math.cos(turn))], [0.05, 0.14], first)
        pen.polygon([(-0.4, 0.4), (0.4, 0.4), (0.3, 1.1), (-0.3, 1.1)], second)
    elif kind == "arch":
        pen.arc((0, 0), (0.8, 1), first, 0.5, 1.0)
        pen.box(-0.8, 0, 0.8, 1.4, first)
    elif kind == "cone":
        pen.polygon([(-0.12, -1), (0.12, -1), (0.8, 1), (-0.8, 1)], first)
    else:
        pen.limb([(-0.1, -3), (0.1, 3)], [0.12, 0.12], first)


def _backdrop(scene: Scene) -> None:
    """Draws a room, a landscape or nothing onto the base texture."""
    rng, width, height = scene.rng, scene.width, scene.height
    pen = Pen(scene, np.eye(2), np.zeros(2), False)
    kind = rng.random()
    horizon = rng.uniform(0.35, 0.9) * height
    if kind < 0.35:
        pen.polygon(
            [(0, horizon), (width, horizon + rng.normal(0, 0.08) * height), (width, height), (0, height)], scene.pick()
        )
        if chance(rng, 0.5):
            corner = rng.uniform(0.0, 1.0) * width
            pen.polygon([(corner, 0), (width, 0), (width, horizon * 1.1), (corner, horizon)], scene.pick())
        if chance(rng, 0.5):
            left, top = rng.uniform(0, 0.7) * width, rng.uniform(0, 0.2) * height
            right, bottom = left + rng.uniform(0.2, 0.5) * width, top + rng.uniform(0.3, 0.5) * height
            pen.box(left, top, right, bottom, scene.pick())
            pen.limb([((left + right) / 2, top), ((left + right) / 2, bottom)], [2, 2], solid(rng))
    elif kind < 0.6:
        for _ in range(int(rng.integers(1, 4))):
            pen.ellipse(
                (rng.uniform(0, width), horizon + 0.3 * height),
                (rng.uniform(0.4, 1) * width, 0.4 * height),
                scene.pick(),
                0.1,
            )


def _finish(scene: Scene, height: int, width: int) -> NDArray[np.uint8]:
    """The picture after lens, light, sensor and JPEG, uint8 (height, width, 3)."""
    rng = scene.rng
    image = scene.image.reduce(SUPERSAMPLING)
    if chance(rng, 0.25):
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.3) * min(height, width) / 128))
    down, along = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = np.exp(rng.normal(0, 0.2) * along + rng.normal(0, 0.2) * down + rng.normal(-0.05, 0.15))
    pixels = np.asarray(image, dtype=np.float32) * light[..., None].astype(np.float32)
    pixels *= np.exp(rng.normal(0.0, 0.06, 3)).astype(np.float32)
    pixels += rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(rng.exponential(4.0))
    finished = np.clip(pixels, 0, 255).astype(np.uint8)
    if chance(rng, 0.5):
        buffer = io.BytesIO()
        Image.fromarray(finished).save(buffer, "JPEG", quality=int(rng.integers(30, 95)))
        finished = np.asarray(Image.open(buffer)).copy()
    return finished


def generate_portrait(rng: np.random.Generator, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A picture, uint8 (height, width, 3) RGB, and its person mask, uint8 (height, width) of 0 and 1.

    81 % of the pictures have one person, 15 % two, and 4 % none, from close-up to whole body. All randomness comes from `rng`.

    Raises:
        UsageError: `height` or `width` is below 16.

    Example:
        >>> image, mask = generate_portrait(np.random.default_rng(0), 128, 96)
        >>> image.shape, mask.shape
        ((128, 96, 3), (128, 96))
    """
    if min(height, width) < 16:
        raise UsageError(f"a portrait of {height}x{width} pixels is too small to draw: ask for at least 16x16")
    scene = Scene(rng, height * SUPERSAMPLING, width * SUPERSAMPLING)
    tall, wide = scene.height, scene.width
    side = min(tall, wide)
    _backdrop(scene)
    for _ in range(int(rng.integers(0, 8))):
        _thing(scene, rng.uniform(0.05, 0.28) * side, (rng.uniform(0, wide), rng.uniform(0, tall)))
    if chance(rng, 0.3):
        scene.image = scene.image.filter(ImageFilter.BoxBlur(rng.uniform(1, 5) * side / 256))
    persons = int(rng.choice([0, 1, 2], p=[0.04, 0.81, 0.15]))
    shot = rng.choice(["close", "portrait", "half", "full"], p=[0.28, 0.4, 0.2, 0.12])
    size, top = {
        "close": ((0.36, 0.6), (0.3, 0.5)),
        "portrait": ((0.22, 0.36), (0.22, 0.45)),
        "half": ((0.14, 0.23), (0.15, 0.4)),
        "full": ((0.09, 0.125), (0.1, 0.2)),
    }[str(shot)]
    place = rng.uniform(0.3, 0.7) if persons < 2 else rng.uniform(0.2, 0.4)
    for index in range(persons):
        unit = rng.uniform(*size) * min(tall, wide * 1.2) * (0.85 if persons == 2 else 1.0)
        draw_person(scene, unit, ((place + index * rng.uniform(0.3, 0.5)) * wide, rng.uniform(*top) * tall))
    if chance(rng, 0.25):
        for _ in range(int(rng.integers(1, 3))):
            _thing(scene, rng.uniform(0.06, 0.16) * side, (rng.uniform(0, wide), rng.uniform(0.7, 1.05) * tall))
    mask = (np.asarray(scene.mask.reduce(SUPERSAMPLING)) > 127).astype(np.uint8)
    return _finish(scene, height, width), mask
