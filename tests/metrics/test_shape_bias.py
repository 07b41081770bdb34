"""Shape bias and the protocols that decide: published numbers, loops, and when the ratio means something."""

import numpy as np
import pytest
from coverage_designs import conflicts
from hypothesis import given
from hypothesis import strategies as st

from hf_clipdyn.metrics.shape_bias import shape_bias
from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES, IMAGENET_CATEGORIES, shape_decisions

CLASSES = ["cat", "dog", "car"]
ROWS = st.lists(
    st.tuples(st.sampled_from([*CLASSES, "na"]), st.sampled_from(CLASSES), st.sampled_from(CLASSES)),
    min_size=1,
    max_size=60,
)


def report(*columns):
    """The values and intervals."""
    return shape_bias(*columns).report()


def test_people_pooled_and_two_of_them_give_the_published_shape_bias(human_trials):
    columns = human_trials.set_index("subj")[["object_response", "shape", "texture"]]
    pooled = report(*columns.to_numpy().T)
    assert (pooled["n_shape"], pooled["n_texture"], pooled["n_excluded"]) == (9236, 398, 800)
    assert round(pooled["shape_bias"], 4) == 0.9587
    for observer, published, counts in (("01", 0.9617, (829, 33)), ("09", 0.9866, (1031, 14))):
        result = report(*columns.loc[f"subject-{observer}"].to_numpy().T)
        assert round(result["shape_bias"], 4) == published
        assert (result["n_shape"], result["n_texture"], result["interpretable"]) == (*counts, True)


SHAPES, TEXTURES = np.array(GEIRHOS_CLASSES)[conflicts(48) // [10, 3]].T  # of the released set
DECIDERS = {
    "silhouette": (lambda shapes: shapes, True),
    "constant": (lambda shapes: np.full(len(shapes), "cat"), False),
    "one class on half": (lambda shapes: np.where(np.arange(len(shapes)) % 2, shapes, "dog"), False),
    "guesses": (lambda shapes: np.random.default_rng(0).choice(GEIRHOS_CLASSES, size=len(shapes)), False),
}


@pytest.mark.parametrize(("decide", "interpretable"), DECIDERS.values(), ids=DECIDERS)
def test_only_who_decides_by_a_cue_and_not_for_one_class_is_interpretable(decide, interpretable):
    result = report(decide(SHAPES), SHAPES, TEXTURES)
    assert result["interpretable"] == interpretable
    if not interpretable and result["top_class_share"] < 0.2:  # the guesses
        assert abs(result["cue_accuracy"] - result["null_cue_accuracy"]) < 0.03


def test_the_null_of_a_balanced_design_is_two_of_the_classes_and_equals_a_shuffled_loop():
    result = report(SHAPES, SHAPES, TEXTURES)
    assert result["null_cue_accuracy"] == pytest.approx(2 / 16)
    rng = np.random.default_rng(0)
    hits = [np.mean(((p := rng.permutation(SHAPES)) == SHAPES) | (p == TEXTURES)) for _ in range(300)]
    assert result["null_cue_accuracy"] == pytest.approx(np.mean(hits), abs=0.002)


@given(ROWS)
def test_counts_and_ratios_equal_a_loop_over_the_rows(rows):
    predictions, shapes, textures = zip(*rows, strict=True)
    s = sum(p == a for p, a, b in rows if a != b)
    t = sum(p == b for p, a, b in rows if a != b)
    n = sum(a != b for _, a, b in rows)
    result = report(predictions, shapes, textures)
    if s + t == 0:
        assert result["causes"]["shape_bias"].startswith("no decision" if n else "no row")
        assert np.isnan([result["shape_bias"], *result["shape_bias_ci"]]).all()
        assert not result["interpretable"]
    else:
        assert result["shape_bias"] == s / (s + t)
        assert (result["cue_accuracy"], result["shape_accuracy"]) == ((s + t) / n, s / n)
        low, high = result["shape_bias_ci"]
        if len(rows) > 1:
            assert 0 <= low <= result["shape_bias"] + 1e-12
            assert result["shape_bias"] - 1e-12 <= high <= 1
    assert (result["n"], result["n_excluded"], result["n_shape"], result["n_texture"]) == (
        n,
        len(rows) - n,
        s,
        t,
    )


def test_the_classes_are_the_sixteen_where_they_can_be_and_else_the_union():
    few = report(["knife", "knife", "cat"], ["cat"] * 3, ["dog"] * 3)
    assert few["top_class"] == "knife"  # one of the sixteen, though no shape or texture here
    other = report(["knife", "knife", "tree"], ["tree"] * 3, ["dog"] * 3)
    assert other["top_class"] == "tree"
    assert other["top_class_share"] == pytest.approx(1 / 3)


# --- decisions for one of the 16 categories ----------------------------------------------------------------------

PUBLISHED_SIZES = [1, 4, 2, 49, 5, 7, 3, 6, 4, 3, 109, 2, 2, 1, 1, 8]  # airplane to truck


def test_the_categories_have_the_published_sizes_and_share_no_class():
    assert [len(indices) for indices in IMAGENET_CATEGORIES.values()] == PUBLISHED_SIZES
    everything = [index for indices in IMAGENET_CATEGORIES.values() for index in indices]
    assert len(set(everything)) == len(everything)
    assert tuple(IMAGENET_CATEGORIES) == GEIRHOS_CLASSES


def test_sixteen_way_takes_the_highest_score():
    scores = np.random.default_rng(0).normal(size=(50, 16))
    expected = [GEIRHOS_CLASSES[max(range(16), key=lambda j: row[j])] for row in scores]
    assert shape_decisions(scores) == expected


def test_thousand_way_takes_the_highest_mean_probability_of_a_loop():
    scores = np.random.default_rng(1).normal(scale=4, size=(50, 1000))
    expected = []
    for row in scores:
        probabilities = np.exp(row) / np.exp(row).sum()
        means = {
            name: np.mean([probabilities[i] for i in found]) for name, found in IMAGENET_CATEGORIES.items()
        }
        expected.append(max(means, key=means.__getitem__))
    assert shape_decisions(scores, protocol="1000-way") == expected
