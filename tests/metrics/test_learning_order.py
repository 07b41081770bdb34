"""Learning of single items: numbers of the authors' code, planted learners, and people's answers."""

import csv
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from recipes import trials
from scipy import stats

from hf_clipdyn.metrics.learning_order import (
    answer_agreement,
    cartography,
    learning_order,
    poisson_binomial,
    rank_agreement,
    split_half_reliability,
    trivial_and_impossible,
)

RIGHT = trials(3, 8, 40, (7, 31, 13, 17, 3, 101), 8, 11)[2]


@pytest.fixture(scope="module")
def order():
    return learning_order(RIGHT)


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        ("first_learned", "1525646344133253444561425232438722202424"),
        ("stably_learned", "1507646776106753480568775206078767800876"),
        ("forgetting_events", "0021000111011200012001120011220012301121"),
    ],
)
def test_items_are_learned_and_forgotten_when_the_authors_code_says(order, name, digits):
    assert "".join(map(str, order[name][0])) == digits


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("forgetting", [34, 44, 40]),
        ("forgetting_expected", [44.9, 47.25, 41.8]),
        ("never_learned", [1, 2, 1]),
        ("never_learned_expected", [0.0651291416, 0.1166110107, 0.0660854004]),
        ("unforgettable", [15, 14, 16]),
    ],
)
def test_the_numbers_of_items_match_the_authors_code(order, name, values):
    assert order[name] == pytest.approx(values, abs=5e-11)


@pytest.mark.parametrize(
    ("name", "revision", "value"),
    [
        ("all_right", 8, 0.625),
        ("all_right_expected", 8, 0.595546875),
        ("all_wrong", 8, 0.05),
        ("all_wrong_expected", 8, 0.003828125),
        ("bimodality_ratio", 1, 0.5936507937),
        ("bimodality_ratio", 8, 0.4580510683),
    ],
)
def test_the_agreement_of_runs_matches(order, name, revision, value):
    assert order[name][revision - 1] == pytest.approx(value, abs=5e-11)


@pytest.mark.parametrize(("name", "rho"), [("accessibility", -0.0868514405), ("first_learned", 0.2680332679)])
def test_the_orders_of_two_runs_correlate_as_published(name, rho):
    alone = [learning_order(RIGHT[run : run + 1], n_resamples=0) for run in (0, 1)]
    ranks = [np.ravel(one[name]) for one in alone]
    ranks = [np.where(one == 0, 9, one) for one in ranks] if name == "first_learned" else ranks
    assert rank_agreement(*ranks)["spearman"] == pytest.approx(rho, abs=5e-11)


def test_a_random_learner_has_the_expected_numbers():
    """Permuting the items of each run and revision keeps all accuracies and nothing else."""
    right = np.arange(20_000) % 10 < [[[3], [5], [8]], [[2], [6], [6]]]
    right = np.random.default_rng(0).permuted(right, axis=-1)
    result = learning_order(right, n_resamples=0)
    for name in ("never_learned", "forgetting", "unforgettable"):
        assert result[name] == pytest.approx(result[f"{name}_expected"], rel=0.03)
    for name in ("all_right", "all_wrong", "bimodality_ratio"):
        assert result[name] == pytest.approx(result[f"{name}_expected"], abs=0.01)
    assert result["bimodality_ratio"][1] == pytest.approx(1 / 2, abs=0.02)


def test_equal_runs_are_as_bimodal_as_can_be():
    right = np.broadcast_to(RIGHT[:1], RIGHT.shape)
    result = learning_order(right)
    assert result["bimodality_ratio"] == pytest.approx([1] * 8)
    assert result["bimodality_ratio_ci"] == [pytest.approx([1, 1])] * 8
    assert result["all_right"] == pytest.approx(right[0].mean(axis=1))


def test_intervals_over_clusters_of_items_are_wider():
    hard = np.repeat(np.random.default_rng(1).random(60), 5)
    right = np.random.default_rng(2).random((2, 4, 300)) < np.round(hard)
    alone = learning_order(right)
    clustered = learning_order(right, clusters=np.repeat(np.arange(60), 5))
    for name in ("never_learned_ci", "unforgettable_ci"):
        assert (np.diff(clustered[name]) > 1.5 * np.diff(alone[name])).all()
    low, high = np.transpose(clustered["never_learned_ci"])
    assert (low < alone["never_learned"]).all()
    assert (high > alone["never_learned"]).all()


def test_what_is_not_defined_is_named():
    result = learning_order([[[1, 1, 1], [1, 0, 0]], [[1, 1, 1], [0, 0, 1]]])
    assert np.isnan(result["bimodality_ratio"]).tolist() == [True, False]
    assert result["causes"] == {
        "bimodality_ratio": "at a revision all runs are right, or wrong, on all items"
    }
    alone = learning_order([[[0, 0, 1]]], n_resamples=0)
    assert np.isnan([*alone["bimodality_ratio"], *alone["median_first_learned"]]).all()
    assert alone["causes"] == {
        "bimodality_ratio": "there is only one run",
        "median_first_learned": "a run never learns half of the items",
    }


def test_the_map_of_a_data_set_has_the_mean_the_spread_and_the_number_of_right_answers():
    p = np.random.default_rng(0).random((2, 5, 7))
    result = cartography(p, p > 0.5)
    assert result["confidence"] == pytest.approx(p.mean(axis=1))
    assert result["variability"] == pytest.approx(np.sqrt((p**2).mean(axis=1) - p.mean(axis=1) ** 2))
    assert (result["correctness"] == (p > 0.5).sum(axis=1)).all()


# --- people ----------------------------------------------------------------------------------------------


def answers_of_people(folder: Path, human_trials) -> tuple[np.ndarray, np.ndarray]:
    """Their answers (people, items) and the labels; of cue conflict those with a conflict and their shapes."""
    if folder.name == "cue-conflict-human-trials":
        keep = human_trials.shapes != human_trials.textures
        columns = [human_trials.observers, human_trials.images, human_trials.predictions, human_trials.shapes]
        rows = list(zip(*(column[keep] for column in columns), strict=True))
    else:
        rows = []
        for path in sorted(folder.glob("*subject*.csv")):
            for row in csv.DictReader(path.read_text().splitlines()):
                image = row["imagename"].rpartition("_")[2]
                rows.append((row["subj"], image, row["object_response"], row["category"]))
    rows.sort(key=lambda row: row[:2])
    people = len({row[0] for row in rows})
    answers = np.array([row[2] for row in rows]).reshape(people, -1)
    return answers, np.array([row[3] for row in rows]).reshape(people, -1)[0]


PEOPLE = {
    "cue-conflict-human-trials": (
        *(1200, 0.76967, 0.54, 0.04, 0.2865, 0.00001),
        *(0.8406, 0.8093, 0.9265, 0.7894),
    ),
    "model-vs-human-trials/edge": (
        *(160, 0.87125, 0.725, 0.00625, 0.6237, 0.0),
        *(0.8272, 0.4743, 0.5410, 0.8763),
    ),
    "model-vs-human-trials/silhouette": (
        *(160, 0.75313, 0.5875, 0.06875, 0.2479, 0.00002),
        *(0.9052, 0.7627, 0.8731, 0.8),
    ),
}


@pytest.mark.parametrize("name", PEOPLE)
def test_ten_people_have_the_published_numbers(name, real_data, human_trials):
    answers, labels = answers_of_people(real_data(name), human_trials)
    right = answers == labels
    shares = trivial_and_impossible(right)
    agreement = answer_agreement(np.stack([(answers == one).sum(axis=0) for one in np.unique(answers)], 1))
    n, accuracy, trivial, impossible, trivial_null, impossible_null, reliability, *of_answers = PEOPLE[name]
    assert (shares["n"], len(answers)) == (n, 10)
    assert right.mean() == pytest.approx(accuracy, abs=6e-6)
    assert (shares["trivial"], shares["impossible"]) == pytest.approx((trivial, impossible))
    assert shares["trivial_null"] == pytest.approx(trivial_null, abs=5e-5)
    assert shares["impossible_null"] == pytest.approx(impossible_null, abs=5e-6)
    assert split_half_reliability(right) == pytest.approx(reliability, abs=6e-5)
    found = [agreement[name].mean() for name in ("entropy", "entropy_corrected", "agreement")]
    assert found == pytest.approx(of_answers, abs=6e-5)


def test_eleven_networks_are_trivial_and_impossible_as_published():
    counts = [3522, 2230, 1893, 1851, 2088, 2243, 2444, 2878, 3409, 4442, 7081, 15919]
    right = np.repeat(np.arange(12), counts) > np.arange(11)[:, None]
    result = trivial_and_impossible(right)
    assert (result["trivial"], result["impossible"]) == pytest.approx((0.46, 0.11504))
    strict = trivial_and_impossible(right, exceptions=0)
    assert (strict["trivial"], strict["impossible"]) == pytest.approx((0.31838, 0.07044))
    null = poisson_binomial([right.mean()] * 11)
    assert round(right.mean(), 4) == 0.6893
    assert null[10:].sum() == pytest.approx(0.0995, abs=5e-5)
    assert null[:2].sum() == pytest.approx(0.00007, abs=5e-6)


def test_the_poisson_binomial_is_the_binomial_of_equal_observers():
    assert poisson_binomial([0.7] * 9) == pytest.approx(stats.binom(9, 0.7).pmf(np.arange(10)))


def test_reliability_is_the_mean_over_all_splits_into_halves():
    scores = (np.random.default_rng(0).random((5, 50)) < np.linspace(0.1, 0.9, 50)).astype(float)
    expected = []
    for half in combinations(range(5), 2):
        other = [person for person in range(5) if person not in half]
        r = np.corrcoef(scores[list(half)].mean(axis=0), scores[other].mean(axis=0))[0, 1]
        expected.append(2 * r / (1 + r))
    assert split_half_reliability(scores) == pytest.approx(np.mean(expected))
    assert split_half_reliability(scores, n_splits=9) == pytest.approx(np.mean(expected), abs=0.1)
    unseen = scores.copy()
    unseen[0, :3] = np.nan
    assert split_half_reliability(unseen) == pytest.approx(np.mean(expected), abs=0.05)
    assert np.isnan(split_half_reliability(np.ones((4, 6))))


# --- rank correlation ------------------------------------------------------------------------------------


def test_the_rank_correlation_is_scipys_in_each_group():
    rng = np.random.default_rng(0)
    x, y, groups = rng.integers(0, 8, 300), rng.normal(size=300), np.arange(300) % 3
    y += 0.2 * x + groups
    result = rank_agreement(x, y, groups=groups, reliability=0.64)
    expected = np.mean([stats.spearmanr(x[groups == one], y[groups == one])[0] for one in range(3)])
    assert result["spearman"] == pytest.approx(expected)
    assert result["corrected"] == pytest.approx(expected / 0.8)
    assert result["spearman_ci"][0] < expected < result["spearman_ci"][1]


def test_what_a_third_number_explains_is_no_agreement():
    cause, *noise = np.random.default_rng(1).normal(size=(3, 2000))
    x, y = cause + noise[0], cause + noise[1]
    assert rank_agreement(x, y)["spearman"] > 0.4
    assert rank_agreement(x, y, given=cause)["spearman"] == pytest.approx(0, abs=0.07)


def test_the_interval_of_a_rank_correlation_has_the_width_of_its_spread_over_samples():
    rng = np.random.default_rng(2)
    values, widths = [], []
    for _ in range(200):
        x = rng.normal(size=250)
        result = rank_agreement(x, x + rng.normal(size=250))
        values.append(result["spearman"])
        widths.append(np.diff(result["spearman_ci"]))
    assert np.mean(widths) == pytest.approx(2 * 1.984 * np.std(values), rel=0.15)


def test_groups_without_ranks_are_left_out_and_none_is_named():
    x, y = [1, 2, 3, 4, 4, 4, 1, 2], [1, 3, 2, 1, 2, 3, 1, 2]
    assert rank_agreement(x, y, groups=list("aaabbbcc"))["n_groups"] == 1
    result = rank_agreement([1, 1, 1], [1, 2, 3])
    assert np.isnan([result["spearman"], *result["spearman_ci"]]).all()
    assert "constant" in result["causes"]["spearman"]
