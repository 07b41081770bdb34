"""Angles between embeddings, in double precision."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def unit(vectors: ArrayLike) -> NDArray[np.float64]:
    """Vectors (…, d) scaled to length 1, in float64; a zero vector stays zero.

    Examples:
        >>> from hf_clipdyn.benchmarks.vectors import unit
        >>> unit([[3.0, 4.0], [0.0, 0.0]]).tolist()
        [[0.6, 0.8], [0.0, 0.0]]
    """
    rows = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    result: NDArray[np.float64] = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return result


def similarity(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Cosines of every pair, (n, d) and (m, d) to (n, m), rounded to 12 digits.

    What is equal must tie, and a matrix product adds up equal rows in different orders.

    Examples:
        >>> from hf_clipdyn.benchmarks.vectors import similarity
        >>> similarity([[1.0, 0.0], [1.0, 1.0]], [[0.0, 2.0]]).round(4).tolist()
        [[0.0], [0.7071]]
    """
    return np.round(unit(first) @ unit(second).T, 12)


def cosine_distance(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Half the squared distance of the unit vectors, in [0, 2]: 1 - cos without its cancellation.

    In an untrained model all cosines are within 1e-7 of 1, where 1 - cos keeps no digit.

    Args:
        first, second: (…, d), broadcast against each other.

    Returns:
        Shape (…).

    Examples:
        >>> from hf_clipdyn.benchmarks.vectors import cosine_distance
        >>> cosine_distance([[1.0, 0.0], [1.0, 1.0]], [[0.0, 2.0], [3.0, 3.0]]).round(6).tolist()
        [1.0, 0.0]
    """
    difference = unit(first) - unit(second)
    return np.asarray(0.5 * np.square(difference).sum(axis=-1))
