"""Data by a recipe, so that a number can be recomputed anywhere: see the tests that match published numbers."""

import numpy as np
from numpy.typing import NDArray


def trials(
    runs: int, epochs: int, items: int, abcdfm: tuple[int, int, int, int, int, int], t0: float, dt: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Decisions among four classes and whether each is right, (runs, epochs, items), and the labels (items,).

    They come as decisions, labels, right.
    """
    a, b, c, d, f, m = abcdfm
    r, e, i = np.ogrid[:runs, :epochs, :items]
    h = (a * i**2 + b * i + c * e * (i % 5) + d * r * (i % 7) + f * e) % m
    labels, right = i.reshape(-1) % 4, h < t0 + dt * e
    return np.where(right, labels, (labels + 1 + h % 3) % 4), labels, right


def grid(n: int, d: int, abcm: tuple[int, int, int, int]) -> NDArray[np.float64]:
    """Numbers from -1/2 to 1/2, (n, d)."""
    a, b, c, m = abcm
    i, j = np.ogrid[:n, :d]
    return (a * i**2 + b * i * j + c * j**2 + i + 2 * j + 1) % m / m - 0.5


def mix(x: NDArray[np.float64], w: float, g: NDArray[np.float64]) -> NDArray[np.float64]:
    """g plus w times the columns of x, in turn."""
    return w * x[:, np.arange(g.shape[1]) % x.shape[1]] + g


def trials(runs, epochs, items, abcdfm, t0, dt):
    """Decisions among four classes (runs, epochs, items), the labels (items,), and which decisions are right."""
    a, b, c, d, f, m = abcdfm
    r, e, i = np.ogrid[:runs, :epochs, :items]
    h = (a * i**2 + b * i + c * e * (i % 5) + d * r * (i % 7) + f * e) % m
    labels, right = i.reshape(-1) % 4, h < t0 + dt * e
    return np.where(right, labels, (labels + 1 + h % 3) % 4), labels, right
