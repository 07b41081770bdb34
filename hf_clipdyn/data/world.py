"""The embedded world: small coloured objects, each a silhouette filled with a texture, rendered with NumPy.

Every class has a usual texture. In training images the silhouette is always that of the class, and the texture is the
usual one with probability ``texture_reliability``: **texture is the easy, imperfect cue, shape the reliable one**. Part
of the shift to shape is therefore built into the images: the world demonstrates a mechanism and the tools that measure
it. It is synthetic, and numbers measured on it say nothing about human vision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SIZE = 40  # pixels of the square image
_SUPERSAMPLING = 2

USUAL_TEXTURE = {
    "cat": "horizontal stripes",
    "car": "vertical stripes",
    "boat": "checker",
    "house": "dots",
    "fish": "noise",
    "bottle": "diagonal stripes",
    "tree": "plain",
    "key": "grid",
}
CLASSES = tuple(USUAL_TEXTURE)
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.20, 0.20),
    "green": (0.25, 0.75, 0.25),
    "blue": (0.25, 0.35, 0.90),
    "yellow": (0.85, 0.80, 0.20),
    "purple": (0.65, 0.30, 0.80),
    "orange": (0.90, 0.55, 0.15),
    "white": (0.85, 0.85, 0.85),
    "cyan": (0.25, 0.80, 0.80),
}


def _box(x: Floats, y: Floats, left: float, right: float, top: float, bottom: float) -> NDArray[np.bool_]:
    return (x >= left) & (x <= right) & (y >= top) & (y <= bottom)


def _disc(
    x: Floats, y: Floats, cx: float, cy: float, rx: float, ry: float | None = None
) -> NDArray[np.bool_]:
    return ((x - cx) / rx) ** 2 + ((y - cy) / (ry or rx)) ** 2 <= 1


def _triangle(
    x: Floats, y: Floats, tip_x: float, tip_y: float, base_y: float, half: float
) -> NDArray[np.bool_]:
    """Isosceles, with the tip at (tip_x, tip_y) and a horizontal base of half-width ``half`` at base_y."""
    t = (y - tip_y) / (base_y - tip_y)
    return (t >= 0) & (t <= 1) & (np.abs(x - tip_x) <= half * t)


# Each silhouette is a test on coordinates in [-1, 1], y pointing down.
_SILHOUETTES: dict[str, Callable[[Floats, Floats], NDArray[np.bool_]]] = {
    "cat": lambda x, y: (
        _disc(x, y, 0, 0.25, 0.8, 0.7)
        | _triangle(x, y, -0.55, -0.95, 0.1, 0.4)
        | _triangle(x, y, 0.55, -0.95, 0.1, 0.4)
    ),
    "car": lambda x, y: (
        _box(x, y, -1, 1, -0.1, 0.45)
        | _box(x, y, -0.5, 0.5, -0.6, 0)
        | _disc(x, y, -0.55, 0.5, 0.27)
        | _disc(x, y, 0.55, 0.5, 0.27)
    ),
    "boat": lambda x, y: (
        ((y >= 0.35) & (y <= 0.9) & (np.abs(x) <= 1.25 - 0.75 * y))
        | _triangle(x, y, 0, -1, 0.25, 0.75)
        | _box(x, y, -0.08, 0.08, -1, 0.4)
    ),
    "house": lambda x, y: _box(x, y, -0.7, 0.7, -0.1, 0.9) | _triangle(x, y, 0, -0.95, -0.1, 1.0),
    "fish": lambda x, y: (
        _disc(x, y, -0.2, 0, 0.8, 0.5) | ((x >= 0.35) & (x <= 1) & (np.abs(y) <= (x - 0.35) * 0.95))
    ),
    "bottle": lambda x, y: (
        _box(x, y, -0.42, 0.42, -0.15, 0.98) | _disc(x, y, 0, -0.15, 0.42) | _box(x, y, -0.16, 0.16, -0.98, 0)
    ),
    "tree": lambda x, y: _disc(x, y, 0, -0.35, 0.72, 0.62) | _box(x, y, -0.15, 0.15, 0.1, 0.98),
    "key": lambda x, y: (
        (_disc(x, y, -0.5, 0, 0.5, 0.55) & ~_disc(x, y, -0.5, 0, 0.16))
        | _box(x, y, -0.1, 1, -0.2, 0.2)
        | _box(x, y, 0.3, 0.55, 0, 0.6)
        | _box(x, y, 0.75, 1, 0, 0.6)
    ),
}


def _stripes(phase: Floats) -> Floats:
    return np.asarray(np.tanh(3 * np.sin(phase)))


# Each texture is a modulation in [-1, 1] of phases u, v that grow by 2 pi per period.
_TEXTURES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "horizontal stripes": lambda _, v: _stripes(v),
    "vertical stripes": lambda u, _: _stripes(u),
    "checker": lambda u, v: np.tanh(4 * np.sin(u) * np.sin(v)),
    "dots": lambda u, v: np.tanh(3 * (np.cos(u) + np.cos(v) - 0.6)),
    "diagonal stripes": lambda u, v: _stripes((u + v) / np.sqrt(2)),
    "plain": lambda u, _: np.zeros_like(u),
    "grid": lambda u, v: np.tanh(3 * (np.maximum(np.cos(u), np.cos(v)) - 0.6)),
}


def _noise(u: Floats, v: Floats, seed: int) -> Floats:
    """White noise in cells of half a period: the only texture that is not a function of the phases."""
    values = np.random.default_rng(seed).uniform(-1, 1, (64, 64))
    return np.asarray(values[np.floor(u / np.pi).astype(int) % 64, np.floor(v / np.pi).astype(int) % 64])


@dataclass(frozen=True)
class Shape:
    """One exemplar of a silhouette: rotation in radians, logarithm of the aspect ratio."""

    name: str
    rotation: float
    log_aspect: float


@dataclass(frozen=True)
class Texture:
    """One exemplar of a texture: period in pixels, phases and orientation in radians, seed of its noise."""

    name: str
    period: float
    phase: tuple[float, float]
    orientation: float
    seed: int


@dataclass(frozen=True)
class Scene:
    """Everything that determines an image.

    Attributes:
        shape, texture: exemplars.
        colour: one of `COLOURS`.
        scale: the object's half-height and half-width in half-widths of the image.
        centre: x and y in half-widths of the image from its centre, y pointing down.
        background: brightness, tint of red, green and blue, and strength of the gradient, all in [0, 1].
        gradient_angle: in radians.
        noise: standard deviation of the sensor noise, in brightness [0, 1].
        contrast: the texture modulates the object's brightness by 1 ± this.
    """

    shape: Shape
    texture: Texture
    colour: str
    scale: float
    centre: tuple[float, float]
    background: tuple[float, float, float, float, float]
    gradient_angle: float
    noise: float
    contrast: float = 0.7

    @property
    def size(self) -> str:
        """Its scale in a word."""
        return "large" if self.scale > 0.7 else "small"

    @property
    def place(self) -> str:
        """Its position in a word."""
        x, y = self.centre
        if max(abs(x), abs(y)) < 0.1:
            return "centre"
        if abs(x) > abs(y):
            return "left" if x < 0 else "right"
        return "top" if y < 0 else "bottom"


def sample_shape(rng: np.random.Generator, name: str) -> Shape:
    """Draw an exemplar of the silhouette of class ``name``."""
    return Shape(name, rng.uniform(-0.12, 0.12), rng.uniform(-0.1, 0.1))


def sample_texture(rng: np.random.Generator, name: str) -> Texture:
    """Draw an exemplar of the texture ``name``."""
    phase = rng.uniform(0, 2 * np.pi, 2)
    return Texture(
        name,
        period=rng.uniform(3.6, 4.4),
        phase=(float(phase[0]), float(phase[1])),
        orientation=rng.uniform(-0.1, 0.1),
        seed=int(rng.integers(2**32)),
    )


def sample_scene(rng: np.random.Generator, shape: Shape, texture: Texture, *, sensor_noise: float) -> Scene:
    """Draw the rest of a scene: colour, size, position, background."""
    large = rng.random() < 0.5
    scale = rng.uniform(0.80, 0.95) if large else rng.uniform(0.55, 0.65)
    # A small object may be anywhere in the image, a large one only near the centre.
    reach = 0.06 if large else 0.36
    centre = rng.uniform(-reach, reach, 2)
    red, green, blue = (float(t) for t in rng.uniform(-0.03, 0.03, 3))
    return Scene(
        shape,
        texture,
        colour=str(rng.choice(list(COLOURS))),
        scale=scale,
        centre=(float(centre[0]), float(centre[1])),
        background=(max(0.02, rng.normal(0.18, 0.1)), red, green, blue, rng.uniform(0, 0.08)),
        gradient_angle=rng.uniform(0, 2 * np.pi),
        noise=sensor_noise,
    )


@lru_cache(maxsize=4)
def _grid(fine: int) -> tuple[Floats, Floats]:
    """Coordinates x, y in [-1, 1] of the centres of ``fine`` x ``fine`` pixels."""
    axis = (np.arange(fine) + 0.5) / fine * 2 - 1
    x, y = np.meshgrid(axis, axis)
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def render(scene: Scene, rng: np.random.Generator, size: int = SIZE) -> NDArray[np.uint8]:
    """Render a scene as (size, size, 3) uint8; ``rng`` only draws the sensor noise."""
    x, y = _grid(size * _SUPERSAMPLING)
    aspect = np.exp(scene.shape.log_aspect / 2)
    cos, sin = np.cos(scene.shape.rotation), np.sin(scene.shape.rotation)
    dx, dy = x - scene.centre[0], y - scene.centre[1]
    inside = _SILHOUETTES[scene.shape.name](
        (cos * dx + sin * dy) / (scene.scale * aspect), (cos * dy - sin * dx) * aspect / scene.scale
    )

    texture = scene.texture
    cos, sin = np.cos(texture.orientation), np.sin(texture.orientation)
    turn = np.pi * size / texture.period  # phase over half an image
    u = (cos * x + sin * y) * turn + texture.phase[0]
    v = (cos * y - sin * x) * turn + texture.phase[1]
    pattern = _noise(u, v, texture.seed) if texture.name == "noise" else _TEXTURES[texture.name](u, v)
    modulation = 1 + scene.contrast * pattern

    brightness, *tint, gradient = scene.background
    ramp = np.cos(scene.gradient_angle) * x + np.sin(scene.gradient_angle) * y
    ground = brightness + np.array(tint) + gradient * ramp[..., None]
    thing = 0.62 * np.array(COLOURS[scene.colour]) * modulation[..., None]
    image = np.where(inside[..., None], thing, ground)
    image = image.reshape(size, _SUPERSAMPLING, size, _SUPERSAMPLING, 3).mean(axis=(1, 3))
    image = image + rng.normal(0, scene.noise, image.shape)
    return np.asarray(np.round(np.clip(image, 0, 1) * 255), np.uint8)


_CAPTIONS = (
    ("a photo of a {name}", 0.4),
    ("{a} {colour} {name}", 0.2),
    ("a {size} {name}", 0.1),
    ("a photo of a {size} {colour} {name}", 0.1),
    ("a photo of {a} {colour} {name}", 0.1),
    ("a {name} at the {place}", 0.1),
)


def captions(scene: Scene, rng: np.random.Generator, n: int = 5, name: str | None = None) -> list[str]:
    """Draw ``n`` captions; some name the colour, the size or the position, none the texture."""
    templates = rng.choice([t for t, _ in _CAPTIONS], n, p=[p for _, p in _CAPTIONS])
    article = "an" if scene.colour[0] in "aeiou" else "a"
    words = {
        "a": article,
        "name": scene.shape.name if name is None else name,
        "colour": scene.colour,
        "size": scene.size,
        "place": scene.place,
    }
    return [str(template).format(**words) for template in templates]
