"""Odd one out of three: does a similarity leave out the image that human observers leave out (Hebart et al. 2020)?"""

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats, Ints, columns, names, of_one_length, within
from hf_clipdyn.metrics.scores import Score, Scores, mean


def odd_one_out(similarities: ArrayLike, odd: ArrayLike) -> Scores:
    """Share of triplets in which a similarity leaves out the same image as human observers.

    Objects occur in many triplets: give ``images`` for the interval.

    Args:
        similarities, odd: as for `odd_one_out_scores`.

    Returns:
        ``accuracy`` in [0, 1], 1/3 for guessing. ``n`` triplets, ``n_ties``.

    Raises:
        MetricError: as for `odd_one_out_scores`.

    Examples:
        >>> from hf_clipdyn.metrics.odd_one_out import odd_one_out
        >>> found = odd_one_out([[0.1, 0.2, 0.9], [0.5, 0.5, 0.1]], [2, 0])
        >>> found["accuracy"].value, found.report(images=[["cat", "dog", "car"], ["cat", "car", "bus"]])["n_ties"]
        (0.75, 1)
    """
    scores, chosen = odd_one_out_scores(similarities, odd)
    return Scores({"accuracy": mean(scores, "share")}, n=len(scores), n_ties=int((chosen < 0).sum()))


def odd_one_out_scores(similarities: ArrayLike, odd: ArrayLike) -> tuple[Floats, Ints]:
    """The score of a similarity in each triplet: 1 if it leaves out the same image as human observers.

    The odd one is the image outside the most similar pair. If several pairs are equally similar, each is chosen with
    the same probability.

    Args:
        similarities: shape (n, 3); column k is the similarity of the pair without image k.
        odd: position of the image that observers left out, 0, 1 or 2, shape (n,).

    Returns:
        Scores (n,) in {0, 1/3, 1/2, 1}, and the position of the odd one (n,), -1 for a tie.

    Raises:
        MetricError: another shape, NaN, or a position outside 0 to 2.

    Examples:
        >>> from hf_clipdyn.metrics.odd_one_out import odd_one_out_scores
        >>> scores, chosen = odd_one_out_scores([[0.1, 0.2, 0.9], [0.5, 0.5, 0.1]], [2, 0])
        >>> scores.tolist(), chosen.tolist()
        ([1.0, 0.5], [2, -1])
    """
    pairs, positions = columns(similarities=similarities, odd=odd)
    if pairs.ndim != 2 or pairs.shape[1] != 3:
        raise MetricError(
            f"similarities must have three numbers per triplet, but have the shape {pairs.shape}."
        )
    answers = _positions(positions)
    best = pairs == pairs.max(axis=1, keepdims=True)
    n_best = best.sum(axis=1)
    scores = best[np.arange(len(pairs)), answers] / n_best
    return scores, np.where(n_best == 1, best.argmax(axis=1), -1)


def leave_one_out_ceiling(objects: ArrayLike, odd: ArrayLike) -> Scores:
    """How often human observers choose what most of the others chose: triplets that were judged at least twice.

    Each answer is compared with the most frequent one of the others, ties shared. The share of the most frequent
    answer itself, which papers report, contains the answer that it predicts and is too high.

    Args:
        objects: of each judgement, shape (n, 3), in any order.
        odd: position of the image that was left out, 0, 1 or 2, shape (n,).

    Returns:
        ``ceiling`` in [0, 1], NaN without a repeated triplet; its influence has an entry for each repeated triplet, in
        the order of ``triplets``, their sorted objects (n_triplets, 3). ``n`` answers to them.

    Raises:
        MetricError: no rows, different lengths, or a position outside 0 to 2.

    Examples:
        >>> from hf_clipdyn.metrics.odd_one_out import leave_one_out_ceiling
        >>> round(leave_one_out_ceiling([["cat", "dog", "car"]] * 3, [2, 2, 0])["ceiling"].value, 4)
        0.3333
    """
    (shown,), (positions,) = names(objects=objects), columns(odd=odd)
    of_one_length(objects=shown, odd=positions)
    if shown.ndim != 2 or shown.shape[1] != 3:
        raise MetricError(f"objects must have three names per triplet, but have the shape {shown.shape}.")
    ordered = np.sort(shown, axis=1)
    chosen = shown[np.arange(len(shown)), _positions(positions)]
    answers = (ordered == chosen[:, None]).argmax(axis=1)
    triplets, codes = np.unique(ordered, axis=0, return_inverse=True)
    counts = np.zeros((len(triplets), 3))
    np.add.at(counts, (codes.reshape(-1), answers), 1)
    is_repeated = counts.sum(axis=1) > 1
    judged = is_repeated[codes.reshape(-1)]
    codes, answers = (np.cumsum(is_repeated) - 1)[codes.reshape(-1)[judged]], answers[judged]
    others, rows = counts[is_repeated][codes], np.arange(len(answers))
    others[rows, answers] -= 1
    modes = others == others.max(axis=1, keepdims=True)
    of_answers = mean(modes[rows, answers] / modes.sum(axis=1), "share", "no triplet was judged twice")
    influence = np.bincount(codes, of_answers.influence, is_repeated.sum()).astype(np.float64)
    ceiling = Score(of_answers.value, influence, "share", of_answers.n, of_answers.cause)
    return Scores({"ceiling": ceiling}, n=of_answers.n, triplets=triplets[is_repeated])


def _positions(odd: Floats) -> Ints:
    within(0, 2, odd=odd)
    answers = odd.astype(np.int64)
    if odd.ndim != 1 or (answers != odd).any():
        raise MetricError("odd must be 0, 1 or 2, one per triplet.")
    return answers
