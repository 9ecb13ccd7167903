"""Draws a person: body, arms, face, hair and clothes, in textures of the scene's pool."""

import math

import numpy as np

from latlas.supernet.data.drawn.drawing import Fill, Pen, Point, Scene, chance, rotation, solid


def draw_person(scene: Scene, unit: float, centre: Point) -> None:
    """Draws a person whose head is `unit` pixels high and has its centre at `centre`. The local unit is one head."""
    rng = scene.rng
    lean = rng.normal(0.0, 0.08) if chance(rng, 0.85) else rng.uniform(-0.45, 0.45)
    stretch = np.diag([rng.uniform(0.85, 1.15), 1.0]) * unit
    body = Pen(scene, rotation(lean) @ stretch, np.asarray(centre), True, rng.uniform(0.15, 0.5) * rng.choice([-1, 1]))
    head = body.moved((0.0, 0.55), rng.normal(0.0, 0.12))
    # Neighbouring parts have different textures, so that the silhouette shows. Things around take any texture.
    order = [scene.pool[i] for i in rng.permutation(np.arange(1, len(scene.pool)))]
    skin, hair, cloth, trousers, extra = order[0], order[1], order[2], order[3], order[4]
    sleeve = skin if chance(rng, 0.25) else cloth
    yaw = rng.uniform(-1.0, 1.0)
    width = rng.uniform(0.8, 1.15) * (1.0 - 0.3 * abs(yaw))
    jaw = rng.uniform(0.34, 0.42)
    style = rng.choice(["short", "long", "bob", "afro", "bun", "ponytail", "curly", "bald"])
    _back_hair(head, style, hair, jaw)
    arms = [_arm(rng, side, width) for side in (-1.0, 1.0)]
    for joints, raised in arms:
        if not raised:
            _draw_arm(body, joints, sleeve, skin)
    _legs_and_torso(body, width, cloth, trousers, skin, extra)
    head.limb([(0.0, 0.25), (0.0, 0.8)], [0.2, 0.22], skin)
    _face(head, skin, yaw, jaw)
    _front_hair(head, style, hair, jaw, yaw)
    _accessories(head, extra, jaw, yaw)
    for joints, raised in arms:
        if raised:
            _draw_arm(body, joints, sleeve, skin)


def _legs_and_torso(pen: Pen, width: float, cloth: Fill, trousers: Fill, skin: Fill, extra: Fill) -> None:
    rng = pen.scene.rng
    stance = rng.uniform(0.1, 0.45)
    waist = width * rng.uniform(0.6, 0.95)
    shoulder = rng.uniform(0.78, 0.95)
    for side in (-1.0, 1.0):
        knee, ankle = (side * (0.25 + stance * 0.5), 4.9), (side * (0.22 + stance + rng.uniform(-0.1, 0.1)), 6.7)
        pen.limb([(side * 0.32, 3.1), knee, ankle], [0.42, 0.28, 0.17], trousers)
        pen.ellipse((ankle[0] + side * 0.15, 6.85), (0.32, 0.16), extra)
    if chance(rng, 0.3):
        hem = rng.uniform(0.7, 1.3)
        pen.polygon([(-waist * 0.9, 2.3), (waist * 0.9, 2.3), (hem, rng.uniform(4.2, 6.0)), (-hem, 5.0)], cloth)
    half = [
        (0.2, 0.62),
        (width * 0.75, shoulder),
        (width, shoulder + 0.12),
        (width * 1.02, 1.5),
        (waist, 2.4),
        (waist * 1.08, 3.4),
    ]
    pen.curve(half + [(-x, y) for x, y in reversed(half)], cloth)
    neckline = rng.random()
    if neckline < 0.35:
        pen.polygon([(-0.28, 0.7), (0.28, 0.7), (0.0, rng.uniform(0.95, 1.5))], skin)
    elif neckline < 0.55:
        pen.polygon([(-0.25, 0.7), (0.25, 0.7), (0.3, 3.3), (-0.3, 3.3)], extra)
        pen.limb([(0.0, 0.95), (0.0, 2.2)], [0.06, 0.12], skin)
    elif neckline < 0.7:
        pen.ellipse((0.0, 0.72), (0.42, 0.2), extra, 0.1)


def _arm(rng: np.random.Generator, side: float, width: float) -> tuple[list[Point], bool]:
    """Shoulder, elbow and wrist of one arm, and whether it is drawn in front."""
    pose = rng.choice(["down", "down", "down", "hip", "crossed", "raised", "face", "wave"])
    elbow, wrist = {
        "down": ((1.06, 2.15), (1.02, 3.25)),
        "hip": ((1.75, 2.0), (1.0, 2.7)),
        "crossed": ((1.08, 2.1), (-0.45, 2.0)),
        "raised": ((1.5, 0.7), (1.15, -0.5)),
        "face": ((1.0, 1.9), (0.35, 0.5)),
        "wave": ((1.6, 1.5), (2.0, 0.4)),
    }[str(pose)]
    jitter = rng.normal(0.0, 0.1, 4)
    joints = [
        (side * width * 0.88, 1.08),
        (side * width * elbow[0] + jitter[0], elbow[1] + jitter[1]),
        (side * width * wrist[0] + jitter[2], wrist[1] + jitter[3]),
    ]
    return joints, pose not in ("down", "hip")


def _draw_arm(pen: Pen, joints: list[Point], sleeve: Fill, skin: Fill) -> None:
    pen.limb(joints, [0.26, 0.2, 0.13], sleeve)
    (elbow_x, elbow_y), (x, y) = joints[1:]
    reach = 0.2 / (math.hypot(x - elbow_x, y - elbow_y) + 1e-6)
    tip = (x + (x - elbow_x) * reach, y + (y - elbow_y) * reach)
    pen.limb([joints[2], tip], [0.13, 0.17], skin)


def _back_hair(pen: Pen, style: str, hair: Fill, jaw: float) -> None:
    rng = pen.scene.rng
    if style == "long":
        drop = rng.uniform(0.9, 1.8)
        pen.curve(
            [
                (-jaw * 1.2, -0.5),
                (jaw * 1.2, -0.5),
                (jaw * 1.6, drop * 0.6),
                (jaw * 1.3, drop),
                (-jaw * 1.3, drop),
                (-jaw * 1.6, drop * 0.6),
            ],
            hair,
        )
    elif style == "bob":
        pen.curve([(-jaw * 1.1, -0.65), (jaw * 1.1, -0.65), (jaw * 1.6, 0.6), (-jaw * 1.6, 0.6)], hair)
    elif style == "afro":
        pen.ellipse((0.0, -0.2), (rng.uniform(0.6, 0.85), rng.uniform(0.55, 0.75)), hair, 0.06)
    elif style == "bun":
        pen.ellipse((rng.uniform(-0.2, 0.2), -0.66), (0.22, 0.2), hair, 0.05)
    elif style == "ponytail":
        side = rng.choice([-1.0, 1.0])
        pen.limb([(side * 0.25, -0.4), (side * 0.62, -0.2), (side * 0.6, 0.7)], [0.12, 0.18, 0.05], hair)


def _face(pen: Pen, skin: Fill, yaw: float, jaw: float) -> None:
    rng = pen.scene.rng
    for side in (-1.0, 1.0):
        pen.ellipse((side * jaw - yaw * 0.1, 0.02), (0.08, 0.13), skin)
    pen.curve(
        [
            (-jaw, -0.5),
            (jaw, -0.5),
            (jaw * 1.12, 0.05),
            (jaw * 0.75, 0.48),
            (0.0, 0.6),
            (-jaw * 0.75, 0.48),
            (-jaw * 1.12, 0.05),
        ],
        skin,
    )
    if chance(rng, 0.12):
        return  # seen from behind
    shift = yaw * 0.16
    dark, lips = solid(rng, 0.35), solid(rng, 0.7)
    for side in (-1.0, 1.0):
        x = side * 0.16 * (1.0 - 0.2 * abs(yaw)) + shift
        pen.ellipse((x, -0.04), (0.075, 0.04), (235, 235, 230))
        pen.ellipse((x + yaw * 0.02, -0.04), (0.035, 0.04), dark)
        pen.limb([(x - 0.08, -0.13), (x + 0.08, -0.13 + rng.uniform(-0.03, 0.03))], [0.02, 0.02], dark)
    pen.limb([(shift * 1.2, 0.0), (shift * 1.5, 0.16)], [0.015, 0.04], lips)
    pen.ellipse((shift, 0.31), (rng.uniform(0.08, 0.15), rng.uniform(0.02, 0.06)), lips)


def _front_hair(pen: Pen, style: str, hair: Fill, jaw: float, yaw: float) -> None:
    rng = pen.scene.rng
    if style == "curly":
        for angle in np.linspace(-math.pi * 1.05, 0.05 * math.pi, 9):
            pen.ellipse((math.cos(angle) * jaw * 1.05, math.sin(angle) * 0.45 - 0.05), (0.17, 0.16), hair, 0.05)
    elif style != "bald":
        fringe = rng.uniform(-0.35, -0.15)
        part = yaw * 0.2
        cap = [
            (-jaw * 1.15, 0.0),
            (-jaw * 1.15, -0.45),
            (-jaw * 0.6, -0.68),
            (jaw * 0.6, -0.68),
            (jaw * 1.15, -0.45),
            (jaw * 1.15, 0.0),
        ]
        pen.curve([*cap, (jaw * 0.85, fringe), (part, fringe - 0.12), (-jaw * 0.85, fringe)], hair)
    if chance(rng, 0.15):
        pen.arc((yaw * 0.05, 0.25), (jaw * 0.95, 0.38), hair, 0.04, 0.46)


def _accessories(pen: Pen, extra: Fill, jaw: float, yaw: float) -> None:
    """Draws glasses and hats, which belong to the person in the mask."""
    rng = pen.scene.rng
    if chance(rng, 0.2):
        frame = solid(rng, 0.5)
        for side in (-1.0, 1.0):
            pen.ellipse((side * 0.17 + yaw * 0.16, -0.04), (0.13, 0.1), frame)
        pen.limb([(-jaw, -0.06), (jaw, -0.06)], [0.02, 0.02], frame)
    hat = rng.random()
    if hat < 0.08:
        pen.arc((0.0, -0.3), (jaw * 1.25, 0.45), extra, 0.5, 1.0)
        pen.ellipse((math.copysign(0.35, yaw), -0.3), (0.35, 0.06), extra)
    elif hat < 0.15:
        pen.polygon([(-jaw * 0.9, -0.85), (jaw * 0.9, -0.85), (jaw * 1.1, -0.33), (-jaw * 1.1, -0.33)], extra)
        pen.ellipse((0.0, -0.35), (jaw * 2.0, 0.1), extra)
    elif hat < 0.22:
        pen.curve([(-jaw * 1.25, -0.2), (-jaw * 1.1, -0.75), (jaw * 1.1, -0.75), (jaw * 1.25, -0.2)], extra)
