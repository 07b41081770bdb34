"""Influences of every metric against the metric itself without each row, or without each group of rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from recipes import grid, mix, trials
from scipy import special

from hf_clipdyn.metrics.cka import cka
from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry
from hf_clipdyn.metrics.cue_preference import cue_preference
from hf_clipdyn.metrics.error_consistency import error_consistency, observer_consistency
from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
from hf_clipdyn.metrics.jnd_map import jnd_map
from hf_clipdyn.metrics.label_distribution import label_distribution
from hf_clipdyn.metrics.learning_order import learning_order, rank_agreement
from hf_clipdyn.metrics.mutual_knn import mutual_knn
from hf_clipdyn.metrics.noise_robustness import accuracy_curve, drop_when_right
from hf_clipdyn.metrics.observer_agreement import observer_agreement
from hf_clipdyn.metrics.odd_one_out import odd_one_out
from hf_clipdyn.metrics.saliency import saliency
from hf_clipdyn.metrics.scores import Score
from hf_clipdyn.metrics.shape_bias import shape_bias
from hf_clipdyn.metrics.two_afc import two_afc
from hf_clipdyn.metrics.zero_shot_accuracy import zero_shot_accuracy

RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Case:
    """A metric of columns of rows.

    Attributes:
        within: of closed forms of the first order, how much their standard deviation may differ; 0 for exact ones.
        names: the scores of this tolerance; all by default.
        groups: of the rows, which are left out together.
    """

    metric: Callable[..., Mapping[str, Score]]
    columns: tuple[Any, ...]
    within: float = 0.0
    names: tuple[str, ...] = ()
    groups: Any = None


IMAGES = grid(16, 6, (3, 5, 2, 101)) + 0.3
TEXTS = 0.6 * IMAGES + grid(16, 6, (2, 7, 5, 97)) - 0.2
RANKS = ("rankme_image", "effective_rank_image", "effective_rank_centred_image")
EXACT = tuple(name for name in contrastive_geometry(IMAGES, TEXTS) if "rank" not in name)
SPREAD = RNG.normal(size=(120, 6)) * np.arange(1, 7) + 1
A = grid(20, 6, (3, 5, 2, 101))
NEIGHBOURS = {
    "other": mix(A, 0.7, grid(20, 8, (2, 7, 5, 97))),
    "alike": 2 * A,
    "with ties": np.repeat(A[::4], 4, 0),
}
HARD = RNG.random(300)
TABLE = (RNG.random((300, 4)) + HARD[:, None] < 1.2).astype(float)
MODEL = (RNG.random(300) + HARD < 1.0).astype(float)
REFERENCES = np.repeat(np.arange(50), 8)
LEVEL = RNG.normal(size=len(REFERENCES))
DISTANCES = (LEVEL + RNG.normal(size=50)[REFERENCES] + 0.5 * RNG.normal(size=len(LEVEL))).round(1)
OPINIONS = (-LEVEL + 0.5 * RNG.normal(size=50)[REFERENCES] + 0.3 * RNG.normal(size=len(LEVEL))).round(1)
LABELS = np.repeat(np.arange(3), 20)
COUNTS = np.array([RNG.multinomial(20, row) for row in special.softmax(3 * np.eye(3)[LABELS], axis=1)])
PREDICTED = special.softmax(RNG.normal(0, 1, (60, 3)) + 2 * np.eye(3)[LABELS], axis=1)
NOISY = (RNG.random((300, 1)) + 0.2 * RNG.random((300, 4)) < [0.95, 0.9, 0.6, 0.3]).astype(float)
CUES = [RNG.choice(["cat", "dog", "car", "na"][: 4 - at], 400) for at in (0, 1, 1)]
CONDITIONS = np.repeat(["a", "b", "c"], (60, 100, 140))


def of_groups(metric: Callable[..., Mapping[str, Score]]) -> Callable[..., Mapping[str, Score]]:
    """A metric whose last column is the groups that it leaves out itself."""
    return lambda *columns: metric(*columns[:-1], groups=columns[-1])


def curves(log: bool) -> Callable[[Any], Mapping[str, Score]]:
    def run(right: Any) -> Mapping[str, Score]:
        by_level, whole = accuracy_curve(right, [0.0, 0.05, 0.1, 0.4], log=log, n_classes=10)
        of_levels = {
            f"{name} {at}": one for at, scores in enumerate(by_level) for name, one in scores.items()
        }
        return of_levels | whole | {"drop_when_right": drop_when_right(right[:, 0], right[:, 2])}

    return run


CASES: dict[str, Case] = {
    "cka": Case(cka, (grid(12, 5, (3, 5, 2, 101)), grid(12, 7, (2, 7, 5, 97)))),
    "geometry": Case(contrastive_geometry, (IMAGES, TEXTS), names=EXACT),
    "ranks of embeddings": Case(contrastive_geometry, (SPREAD, SPREAD), within=0.05, names=RANKS),
    **{
        f"{k} neighbours, {name}": Case(lambda a, b, k=k: mutual_knn(a, b, k), (A, second))
        for k in (1, 4, 10, 18)
        for name, second in NEIGHBOURS.items()
    },
    "cue preference": Case(cue_preference, tuple(RNG.integers(0, 4, (2, 40)).astype(float))),
    "cue preference of anchors": Case(
        lambda a, b, of: cue_preference(a, b, anchors=of),
        (*RNG.integers(0, 4, (2, 40)).astype(float), np.arange(40) % 7),
        groups=np.arange(40) % 7,
    ),
    "kappa": Case(error_consistency, (TABLE[:, 0], MODEL), within=0.05, names=("kappa", "observed")),
    "kappa of people": Case(observer_consistency, (TABLE, MODEL), within=0.05, names=("kappa",)),
    "agreement of people": Case(
        lambda *given: observer_agreement(*given[:2], conditions=given[2]),
        (TABLE, MODEL, CONDITIONS),
        within=0.05,
        names=("accuracy", "accuracy_difference", "kappa", "kappa_min", "kappa_max", "kappa_all_agree"),
    ),
    "opinions": Case(
        of_groups(iqa_correlation), (DISTANCES, OPINIONS, REFERENCES), names=("krcc", "plcc"), groups=REFERENCES
    ),
    "opinions, Spearman's": Case(
        of_groups(iqa_correlation),
        (DISTANCES, OPINIONS, REFERENCES),
        within=0.05,
        names=("srcc", "alignment"),
        groups=REFERENCES,
    ),
    "jnd": Case(jnd_map, (RNG.integers(0, 20, 40).astype(float), RNG.integers(0, 4, 40) / 3)),
    "jnd in groups": Case(
        of_groups(jnd_map),
        (RNG.integers(0, 20, 40).astype(float), RNG.integers(0, 4, 40) / 3, np.arange(40) % 8),
        groups=np.arange(40) % 8,
    ),
    "label distribution": Case(label_distribution, (PREDICTED, COUNTS, LABELS)),
    "learning order": Case(
        lambda items: learning_order(np.moveaxis(items, 0, 2)),
        (np.moveaxis(trials(3, 8, 40, (7, 31, 13, 17, 3, 101), 8, 11)[2], 2, 0),),
    ),
    "ranks": Case(rank_agreement, tuple(RNG.normal(size=(2, 40)) + RNG.normal(size=40))),
    "curve": Case(curves(log=False), (NOISY,), within=0.05),
    "curve on a logarithmic axis": Case(curves(log=True), (NOISY,), within=0.05),
    "odd one out": Case(odd_one_out, (RNG.integers(0, 4, (50, 3)), RNG.integers(0, 3, 50))),
    "saliency": Case(
        lambda maps, densities, baseline, points, others: saliency(
            maps, points, densities=densities, other_fixations=others, baseline=baseline
        ),
        (*(RNG.random((9, 4, 5)) for _ in range(3)), *(RNG.random((9, n, 2)) * [5, 4] for n in (6, 7))),
    ),
    "shape bias": Case(shape_bias, tuple(CUES), within=0.1, groups=np.arange(400) % 20),
    "2AFC": Case(two_afc, (*RNG.integers(0, 5, (2, 60)).astype(float), RNG.choice([0.0, 0.2, 0.5, 1.0], 60))),
    "accuracy": Case(
        zero_shot_accuracy, (RNG.normal(size=(60, 8)).argsort(axis=1), RNG.integers(0, 8, 60)), names=("top1", "top5")
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_influence_is_what_leaving_out_rows_changes(case: Case) -> None:
    rows = np.arange(len(case.columns[0])) if case.groups is None else case.groups
    codes = np.unique(rows, return_inverse=True)[1]
    left_out = [case.metric(*(one[codes != code] for one in case.columns)) for code in range(codes.max() + 1)]
    whole = case.metric(*case.columns)
    compared = 0
    for name in case.names or whole:
        influence = whole[name].influence
        if influence is None or np.isnan(influence).any():
            continue
        without = np.array([one[name].value for one in left_out])
        jackknife = (without.mean() - without) * (1 - 1 / len(without))
        found = influence if len(influence) == len(without) else np.bincount(codes, influence)
        assert found.sum() == pytest.approx(0, abs=1e-9), name
        if case.within == 0:
            assert found == pytest.approx(jackknife, rel=1e-6, abs=1e-11), name
        elif jackknife.std() > 1e-12:
            assert np.corrcoef(found, jackknife)[0, 1] > 0.99, name
            assert found.std() == pytest.approx(jackknife.std(), rel=case.within), name
        compared += 1
    assert compared == len(case.names or whole), "an influence is undefined"
