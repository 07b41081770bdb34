"""Shape bias: people's published numbers, a brute-force loop, and when the ratio means something."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hf_clipdyn.metrics.shape_bias import GEIRHOS_CLASSES, answer_shares, decision_influences, shape_bias

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


def test_people_pooled_and_two_of_them_give_the_published_shape_bias(human_trials):
    pooled = shape_bias(human_trials.predictions, human_trials.shapes, human_trials.textures, n_resamples=0)
    assert (pooled["n_shape"], pooled["n_texture"], pooled["n_excluded"]) == (9236, 398, 800)
    assert round(pooled["shape_bias"], 4) == 0.9587
    for observer, published, counts in ((1, 0.9617, (829, 33)), (9, 0.9866, (1031, 14))):
        one = human_trials.of(observer)
        result = shape_bias(one.predictions, one.shapes, one.textures, n_resamples=0)
        assert round(result["shape_bias"], 4) == published
        assert (result["n_shape"], result["n_texture"]) == counts


def test_every_human_observer_is_interpretable_and_their_interval_is_wider_when_clustered(human_trials):
    for observer in range(1, 11):
        one = human_trials.of(observer)
        rows = shape_bias(one.predictions, one.shapes, one.textures)
        clustered = shape_bias(
            one.predictions,
            one.shapes,
            one.textures,
            shape_exemplars=one.shape_exemplars,
            texture_exemplars=one.texture_exemplars,
        )
        assert rows["interpretable"]
        assert np.ptp(clustered["cue_accuracy_ci"]) > 1.1 * np.ptp(rows["cue_accuracy_ci"])
        low, high = clustered["shape_bias_ci"]
        assert low < clustered["shape_bias"] < high


def test_a_decider_by_silhouette_only_is_interpretable_but_a_constant_and_a_random_one_are_not():
    shapes, textures, *_ = crossed_design()
    silhouette = shape_bias(shapes, shapes, textures)
    assert silhouette["interpretable"]
    assert silhouette["shape_bias"] == 1
    constant = shape_bias(np.full(len(shapes), "cat"), shapes, textures)
    assert not constant["interpretable"]
    assert constant["top_class"] == "cat"
    assert constant["top_class_share"] == 1
    for seed in range(10):
        guesses = np.random.default_rng(seed).choice(GEIRHOS_CLASSES, size=len(shapes))
        guessed = shape_bias(guesses, shapes, textures)
        assert not guessed["interpretable"]
        assert abs(guessed["cue_accuracy"] - guessed["null_cue_accuracy"]) < 0.03


def test_a_decider_that_says_one_class_on_half_of_the_images_is_not_interpretable():
    shapes, textures, *_ = crossed_design()
    lazy = np.where(np.arange(len(shapes)) % 2, shapes, "dog")
    result = shape_bias(lazy, shapes, textures)
    assert result["top_class"] == "dog"
    assert result["shape_bias"] > 0.9
    assert not result["interpretable"]


def test_the_null_of_a_balanced_design_is_two_of_the_classes_and_equals_a_shuffled_loop():
    shapes, textures, *_ = crossed_design()
    result = shape_bias(shapes, shapes, textures, n_resamples=0)
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
    if s + t == 0:
        result = shape_bias(predictions, shapes, textures)
        assert result["causes"]["shape_bias"].startswith("no decision" if n else "no row")
        assert np.isnan(result["shape_bias"])
        assert np.isnan(result["shape_bias_ci"]).all()
        assert not result["interpretable"]
    else:
        result = shape_bias(predictions, shapes, textures)
        assert result["shape_bias"] == s / (s + t)
        assert result["texture_bias"] == 1 - s / (s + t)
        assert (result["cue_accuracy"], result["shape_accuracy"]) == ((s + t) / n, s / n)
        low, high = result["shape_bias_ci"]
        if n > 1:
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
def test_the_order_of_the_rows_changes_nothing(rows, random):
    shuffled = random.sample(rows, len(rows))
    np.testing.assert_equal(shape_bias(*zip(*shuffled, strict=True)), shape_bias(*zip(*rows, strict=True)))


def test_swapping_the_cues_mirrors_the_bias():
    shapes, textures, *exemplars = crossed_design()
    decisions = np.where(np.random.default_rng(0).random(len(shapes)) < 0.7, shapes, textures)
    result = shape_bias(
        decisions, shapes, textures, shape_exemplars=exemplars[0], texture_exemplars=exemplars[1]
    )
    mirror = shape_bias(
        decisions, textures, shapes, shape_exemplars=exemplars[1], texture_exemplars=exemplars[0]
    )
    assert mirror["shape_bias"] == pytest.approx(result["texture_bias"])
    assert mirror["shape_bias_ci"] == pytest.approx(result["texture_bias_ci"])


def test_the_clustered_interval_equals_the_sandwich_formula_written_out():
    shapes, textures, shape_ex, texture_ex = crossed_design()
    decisions = np.where(np.random.default_rng(1).random(len(shapes)) < 0.6, shapes, "na")
    result = shape_bias(decisions, shapes, textures, shape_exemplars=shape_ex, texture_exemplars=texture_ex)
    hit = (decisions == shapes).astype(float)
    share, residual = hit.mean(), hit - hit.mean()
    n = len(hit)

    def variance(same):
        groups = np.linalg.matrix_rank(same.astype(float))
        return residual @ same @ residual / n**2 * groups / (groups - 1)

    by_shape = shape_ex[:, None] == shape_ex
    by_texture = texture_ex[:, None] == texture_ex
    total = variance(by_shape) + variance(by_texture) - variance(by_shape & by_texture)
    effective = min(share * (1 - share) / total, n)
    q = stats.t.ppf(0.975, len(set(texture_ex)) - 1)
    assert len(set(texture_ex)) < len(set(shape_ex))
    centre = (share + q**2 / (2 * effective)) / (1 + q**2 / effective)
    half = q / (1 + q**2 / effective) * np.sqrt(share * (1 - share) / effective + q**2 / (4 * effective**2))
    assert result["shape_accuracy_ci"] == pytest.approx([centre - half, centre + half])


def test_the_classes_are_the_sixteen_where_they_can_be_and_else_the_union():
    few = shape_bias(["knife", "knife", "cat"], ["cat"] * 3, ["dog"] * 3, n_resamples=0)
    assert few["top_class"] == "knife"  # one of the sixteen, though no shape or texture here
    other = shape_bias(["knife", "knife", "tree"], ["tree"] * 3, ["dog"] * 3, n_resamples=0)
    assert other["top_class"] == "tree"
    assert other["top_class_share"] == pytest.approx(1 / 3)


def test_without_any_conflict_nothing_is_defined_and_the_cause_is_named():
    result = shape_bias(["cat", "dog"], ["cat", "dog"], ["cat", "dog"])
    names = ("shape_bias", "cue_accuracy", "null_cue_accuracy", "top_class_share")
    assert np.isnan([result[name] for name in names]).all()
    assert {result["causes"][name] for name in names} == {"no row has a texture other than its shape"}
    assert (result["n"], result["n_excluded"], result["top_class"]) == (0, 2, None)


def test_no_resamples_means_no_interval():
    result = shape_bias(["cat"], ["cat"], ["dog"], n_resamples=0)
    assert not [key for key in result if key.endswith("_ci")]


def test_the_influence_of_a_decision_is_what_one_more_of_it_changes_among_many():
    rng = np.random.default_rng(5)
    shapes, textures = (rng.choice(CLASSES, 40) for _ in range(2))
    columns = np.stack([rng.choice([*CLASSES, "na"], 40), shapes, textures])[:, shapes != textures]
    many = np.repeat(columns, 10, axis=1)
    before = shape_bias(*many, n_resamples=0)
    more = [shape_bias(*np.hstack([many, one[:, None]]), n_resamples=0) for one in columns.T]
    influences = decision_influences(*columns)
    for name in ("shape_bias", "cue_accuracy", "shape_accuracy", "texture_accuracy"):
        expected = [10 * (after[name] - before[name]) for after in more]
        np.testing.assert_allclose(influences[name], expected, rtol=0.02, atol=1e-12)


def test_the_simultaneous_shares_of_people_pooled_match(human_trials):
    shares = answer_shares(human_trials.predictions, human_trials.shapes, human_trials.textures)
    counts = [shares[name] * 12_000 for name in ("shape", "texture", "other", "unclassified")]
    assert (shares["n"], counts) == (12_000, pytest.approx([9236, 398, 2366, 118]))
    assert shares["shape_ci"] == pytest.approx([0.7603377122, 0.7787381613], abs=5e-11)
    assert shares["texture_ci"] == pytest.approx([0.0294706891, 0.0373083459], abs=5e-11)
    assert shares["other_ci"] == pytest.approx([0.1886173087, 0.2060051499], abs=5e-11)
    assert sum(shares[f"{name}_chance"] for name in ("shape", "texture", "other")) == pytest.approx(1)
    assert shares["shape_chance"] == pytest.approx(1 / 16, abs=0.002)


def test_exemplars_widen_the_simultaneous_intervals(human_trials):
    person = human_trials.of(1)
    columns = person.predictions, person.shapes, person.textures
    exemplars = {
        "shape_exemplars": person.shape_exemplars,
        "texture_exemplars": person.texture_exemplars,
    }
    alone, crossed = answer_shares(*columns), answer_shares(*columns, **exemplars)
    assert alone["design_effect"] == 1 < crossed["design_effect"]
    for name in ("shape", "texture", "other"):
        assert np.diff(crossed[f"{name}_ci"]) > np.diff(alone[f"{name}_ci"])


def test_without_any_conflict_there_are_no_shares():
    shares = answer_shares(["cat", "dog"], ["cat", "cat"], ["cat", "cat"])
    assert np.isnan([shares["shape"], shares["shape_chance"], *shares["shape_ci"]]).all()
    assert shares["causes"]["other"] == "no row has a texture other than its shape"
