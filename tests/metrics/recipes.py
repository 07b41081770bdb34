"""The recipes of made-up data by which published and independent values are matched."""

import numpy as np


def grid(n, d, abcm):
    """n rows of d numbers in [-1/2, 1/2): ((a i² + b i j + c j² + i + 2j + 1) mod m)/m - 1/2."""
    a, b, c, m = abcm
    i, j = np.arange(n)[:, None], np.arange(d)
    return ((a * i**2 + b * i * j + c * j**2 + i + 2 * j + 1) % m) / m - 0.5


def mix(x, w, g):
    """g plus w times the columns of x, in turn."""
    return w * x[:, np.arange(g.shape[1]) % x.shape[1]] + g


def trials(runs, epochs, items, abcdfm, t0, dt):
    """Decisions among four classes (runs, epochs, items), the labels (items,), and which decisions are right."""
    a, b, c, d, f, m = abcdfm
    r, e, i = np.ogrid[:runs, :epochs, :items]
    h = (a * i**2 + b * i + c * e * (i % 5) + d * r * (i % 7) + f * e) % m
    labels, right = i.reshape(-1) % 4, h < t0 + dt * e
    return np.where(right, labels, (labels + 1 + h % 3) % 4), labels, right
