"""Shape bias: people's published numbers, a brute-force loop, and when the ratio means something."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.scores import left_out
from hf_clipdyn.metrics.shape_bias import shape_bias
from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES

CLASSES = ["cat", "dog", "car"]
ROWS = st.lists(
    st.tuples(st.sampled_from([*CLASSES, "na"]), st.sampled_from(CLASSES), st.sampled_from(CLASSES)),
    min_size=1,
    max_size=60,
)


def crossed_design():
    """The 1,200 conflicts of Geirhos et al. in outline: 16 shapes x 15 other textures x 5 exemplar pairs."""
    rows = [
        (shape, texture, f"{shape}{k * 2 + i % 2}", f"{texture}{k % 3}")
        for i, shape in enumerate(GEIRHOS_CLASSES)
        for texture in GEIRHOS_CLASSES
        if texture != shape
        for k in range(5)
    ]
    return [np.array(column) for column in zip(*rows, strict=True)]


def report(*columns, exemplars=None):
    """The values and intervals; exemplars of shape and texture are crossed clusters."""
    return shape_bias(*columns).report(None if exemplars is None else np.stack(exemplars, axis=1))


def test_people_pooled_and_two_of_them_give_the_published_shape_bias(human_trials):
    pooled = report(human_trials.predictions, human_trials.shapes, human_trials.textures)
    assert (pooled["n_shape"], pooled["n_texture"], pooled["n_excluded"]) == (9236, 398, 800)
    assert round(pooled["shape_bias"], 4) == 0.9587
    for observer, published, counts in ((1, 0.9617, (829, 33)), (9, 0.9866, (1031, 14))):
        one = human_trials.of(observer)
        result = report(one.predictions, one.shapes, one.textures)
        assert round(result["shape_bias"], 4) == published
        assert (result["n_shape"], result["n_texture"]) == counts


def test_every_human_observer_is_interpretable_and_their_interval_is_wider_when_clustered(human_trials):
    for observer in range(1, 11):
        one = human_trials.of(observer)
        scores = shape_bias(one.predictions, one.shapes, one.textures)
        rows = scores.report()
        clustered = scores.report(np.stack([one.shape_exemplars, one.texture_exemplars], axis=1))
        assert rows["interpretable"]
        assert np.ptp(clustered["cue_accuracy_ci"]) > 1.1 * np.ptp(rows["cue_accuracy_ci"])
        low, high = clustered["shape_bias_ci"]
        assert low < clustered["shape_bias"] < high


def test_a_decider_by_silhouette_only_is_interpretable_but_a_constant_and_a_random_one_are_not():
    shapes, textures, *_ = crossed_design()
    silhouette = report(shapes, shapes, textures)
    assert silhouette["interpretable"]
    assert silhouette["shape_bias"] == 1
    constant = report(np.full(len(shapes), "cat"), shapes, textures)
    assert not constant["interpretable"]
    assert constant["top_class"] == "cat"
    assert constant["top_class_share"] == 1
    for seed in range(10):
        guesses = np.random.default_rng(seed).choice(GEIRHOS_CLASSES, size=len(shapes))
        guessed = report(guesses, shapes, textures)
        assert not guessed["interpretable"]
        assert abs(guessed["cue_accuracy"] - guessed["null_cue_accuracy"]) < 0.03


def test_a_decider_that_says_one_class_on_half_of_the_images_is_not_interpretable():
    shapes, textures, *_ = crossed_design()
    lazy = np.where(np.arange(len(shapes)) % 2, shapes, "dog")
    result = report(lazy, shapes, textures)
    assert result["top_class"] == "dog"
    assert result["shape_bias"] > 0.9
    assert not result["interpretable"]


def test_the_null_of_a_balanced_design_is_two_of_the_classes_and_equals_a_shuffled_loop():
    shapes, textures, *_ = crossed_design()
    result = report(shapes, shapes, textures)
    assert result["null_cue_accuracy"] == pytest.approx(2 / 16)
    rng = np.random.default_rng(0)
    hits = [np.mean(((p := rng.permutation(shapes)) == shapes) | (p == textures)) for _ in range(300)]
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


@given(
    ROWS.filter(lambda rows: any(p in (a, b) and a != b for p, a, b in rows)),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_rows_changes_nothing(agree, rows, random):
    shuffled = random.sample(rows, len(rows))
    agree(report(*zip(*shuffled, strict=True)), report(*zip(*rows, strict=True)))


def test_swapping_the_cues_mirrors_the_bias():
    shapes, textures, *exemplars = crossed_design()
    decisions = np.where(np.random.default_rng(0).random(len(shapes)) < 0.7, shapes, textures)
    result = report(decisions, shapes, textures, exemplars=exemplars)
    mirror = report(decisions, textures, shapes, exemplars=exemplars[::-1])
    assert mirror["shape_bias"] == pytest.approx(1 - result["shape_bias"])
    assert mirror["shape_bias_ci"] == pytest.approx([1 - end for end in result["shape_bias_ci"][::-1]])


def test_the_clustered_interval_equals_the_sandwich_formula_written_out():
    shapes, textures, *exemplars = crossed_design()
    decisions = np.where(np.random.default_rng(1).random(len(shapes)) < 0.6, shapes, "na")
    result = report(decisions, shapes, textures, exemplars=exemplars)
    hit = (decisions == shapes).astype(float)
    share, influence = hit.mean(), (hit - hit.mean()) / len(hit)
    same = np.any([exemplar[:, None] == exemplar for exemplar in exemplars], axis=0)
    variance = influence @ same @ influence / (1 - same.mean())
    fewest = min(len(set(exemplar)) for exemplar in exemplars)
    half = stats.t.ppf(0.975, fewest - 1) * np.sqrt(variance) / (share * (1 - share))
    ends = special.expit(special.logit(share) + np.array([-half, half]))
    assert result["shape_accuracy_ci"] == pytest.approx(ends.tolist())


def test_the_classes_are_the_sixteen_where_they_can_be_and_else_the_union():
    few = report(["knife", "knife", "cat"], ["cat"] * 3, ["dog"] * 3)
    assert few["top_class"] == "knife"  # one of the sixteen, though no shape or texture here
    other = report(["knife", "knife", "tree"], ["tree"] * 3, ["dog"] * 3)
    assert other["top_class"] == "tree"
    assert other["top_class_share"] == pytest.approx(1 / 3)


def test_without_any_conflict_nothing_is_defined_and_the_cause_is_named():
    result = report(["cat", "dog"], ["cat", "dog"], ["cat", "dog"])
    names = ("shape_bias", "cue_accuracy", "null_cue_accuracy")
    assert np.isnan([result["top_class_share"], *(result[name] for name in names)]).all()
    assert {result["causes"][name] for name in names} == {"no row has a texture other than its shape"}
    assert (result["n"], result["n_excluded"], result["top_class"]) == (0, 2, None)


def test_the_influences_are_those_of_the_jackknife_in_the_first_order():
    rng = np.random.default_rng(5)
    shapes, textures = (rng.choice(CLASSES, 400) for _ in range(2))
    columns = [rng.choice([*CLASSES, "na"], 400), shapes, textures]
    found, groups = shape_bias(*columns), np.arange(400) % 20
    without = left_out(lambda *part: [one.value for one in shape_bias(*part).values()], columns, groups)
    for (name, score), left in zip(found.items(), without.T, strict=True):
        of_groups = np.bincount(groups, score.influence)
        assert np.corrcoef(of_groups, left)[0, 1] > 0.99, name
        assert of_groups.std() == pytest.approx(left.std(), rel=0.1), name


def test_a_shape_outside_the_classes_and_columns_of_unequal_length_are_refused():
    columns = {"predictions": ["cat", "dog"], "shapes": ["cat", "cat"], "textures": ["dog", "dog"]}
    with pytest.raises(MetricError, match="'dog' is not"):
        shape_bias(**columns, classes=["cat"])
    with pytest.raises(MetricError, match=r"predictions \(1,\), shapes \(2,\)"):
        shape_bias(**columns | {"predictions": ["cat"]})
