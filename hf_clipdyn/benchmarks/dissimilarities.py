"""Dissimilarities of all pairs of a few images, at the projection and at every hidden state, in one pass.

For many pairs of few images, the states of all images wait in one temporary file a layer (`hidden_states`), and each
layer is compared as a whole. `pairs.pair_distances` is for data sets whose pairs are stars.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from tqdm.auto import tqdm

from hf_clipdyn.benchmarks.hidden_states import RowFile, Rows, blocks_of, flat_states
from hf_clipdyn.benchmarks.readout import Readout, Stimuli, map_over_processes
from hf_clipdyn.benchmarks.vectors import unit
from hf_clipdyn.metrics.checks import Floats

DISSIMILARITIES = {"cosine": "cosine", "correlation": "1 - Pearson", "euclidean": "Euclidean"}
"""How two embeddings are compared, with titles."""


def image_dissimilarities(
    readout: Readout, stimuli: Stimuli, *, show_progress: bool = False
) -> list[dict[str, Floats]]:
    """All dissimilarities of n images, by place.

    Cosine is 1 - cos, correlation the same after subtracting each vector's mean over its dimensions, Euclidean the
    length of the difference. At a hidden state they are taken per token and averaged over the tokens. One process
    computes, the others receive the result.

    Args:
        readout: the revision; it keeps the projections.
        stimuli: the images.
        show_progress: a bar over the images.

    Returns:
        For the projection, then for each hidden state, by the names of `DISSIMILARITIES`: n (n - 1) / 2 numbers, in the
        order of ``numpy.triu_indices(n, 1)``.
    """

    def work(shown: Stimuli) -> tuple[list[dict[str, Floats]], dict[bytes, NDArray[np.float32]]]:
        projections: dict[bytes, NDArray[np.float32]] = {}
        with ExitStack() as stack:
            files: list[RowFile] = []
            shapes: list[tuple[int, int]] = []
            for rows in _batches(len(shown), readout.batch_size, show_progress):
                features = readout.features(shown.read(rows))
                if not files:
                    shapes = [block.shape[1:] for block in blocks_of(features) for _ in range(block.shape[0])]
                    files = [
                        stack.enter_context(closing(RowFile(tokens * width))) for tokens, width in shapes
                    ]
                ends = np.cumsum([tokens * width for tokens, width in shapes])[:-1]
                for at, row in enumerate(rows):
                    for file, state in zip(files, np.split(flat_states(features, at), ends), strict=True):
                        file.append(state[None])
                    projections[shown.keys[row]] = features.projection[at]
            places = [
                _dissimilarities(file.read(0, len(file)).reshape(-1, *shape))
                for file, shape in zip(files, shapes, strict=True)
            ]
        return places, projections

    [(places, projections)] = map_over_processes([stimuli], work)
    readout.keep(projections)
    return places


def _batches(n: int, size: int, show_progress: bool) -> Iterator[list[int]]:
    with tqdm(total=n, desc="images", unit="img", disable=not show_progress, leave=False) as bar:
        for start in range(0, n, size):
            yield (rows := list(range(start, min(start + size, n))))
            bar.update(len(rows))


def _dissimilarities(states: Rows) -> dict[str, Floats]:
    """Of (n, tokens, width), each (n (n - 1) / 2,); differences are taken one by one, so that nothing cancels."""
    n, tokens, _ = states.shape
    sums = {name: np.zeros(n * (n - 1) // 2) for name in DISSIMILARITIES}
    for token in range(tokens):
        rows = states[:, token].astype(np.float64)
        centred = rows - rows.mean(axis=1, keepdims=True)
        sums["cosine"] += 0.5 * pdist(unit(rows), "sqeuclidean")
        sums["correlation"] += 0.5 * pdist(unit(centred), "sqeuclidean")
        sums["euclidean"] += pdist(rows, "euclidean")
    return {name: total / tokens for name, total in sums.items()}
