"""Two revisions, paired on the same stimuli."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hf_clipdyn.errors import EvaluationError, UnknownNameError
from hf_clipdyn.evaluation.compare import compare_revisions
from hf_clipdyn.evaluation.store import ResultsStore

pytestmark = pytest.mark.filterwarnings("ignore::hf_clipdyn.data.base.SubsetWarning")


def pair(revision, benchmark):
    return {
        "repo_id": "me/run",
        "revision": revision,
        "commit": revision[-1] * 40,
        "epoch": None,
        "step": None,
        "samples_seen": None,
        "benchmark": benchmark,
        "data_fingerprint": "f" * 64,
        "preprocess": "processor",
        "dtype": "float32",
    }


@pytest.fixture
def results(tmp_path):
    """`results("zero_shot/cifar10", trials_a, trials_b)`: a table with those trials of epoch-001 and epoch-002."""

    def write(benchmark, *trials):
        path = tmp_path / "results.parquet"
        with ResultsStore(path) as store:
            for number, one in enumerate(trials, 1):
                store.add(pair(f"epoch-00{number}", benchmark), [], one)
        return path

    return write


def decisions(right):
    """Zero-shot trials of ten classes: which rows are right."""
    labels = np.arange(len(right)) % 10
    best = np.where(right, labels, (labels + 1) % 10)
    ranking = [[int(first), *[k for k in range(10) if k != first][:4]] for first in best]
    return pd.DataFrame({"item": np.arange(len(right)), "label": labels, "ranking": ranking, "n_classes": 10})


def compare(results, right_a, right_b):
    path = results("zero_shot/cifar10", decisions(right_a), decisions(right_b))
    return compare_revisions(path, "epoch-001", "epoch-002")


def without_flags(rows):
    """What two revisions can be compared in."""
    return rows[~rows["metric"].str.contains("interpretable|dropped_dimensions")]


def row(table, metric):
    rows = table[table["metric"] == metric]
    assert len(rows) == 1
    return rows.iloc[0]


def test_the_difference_of_two_accuracies_is_that_of_the_paired_t_test(results):
    rng = np.random.default_rng(0)
    a, b = rng.random(80) < 0.4, rng.random(80) < 0.6
    found = row(
        compare(results, a, b),
        "top1",
    )
    expected = stats.ttest_rel(b.astype(float), a.astype(float))
    low, high = expected.confidence_interval()
    assert (found["value_a"], found["value_b"]) == (a.mean(), b.mean())
    assert found["difference"] == pytest.approx(b.mean() - a.mean())
    assert found["p_value"] == pytest.approx(expected.pvalue)
    assert (found["ci_low"], found["ci_high"]) == (pytest.approx(low), pytest.approx(high))
    assert found["n_groups"] == 80


def test_equal_revisions_do_not_differ(results):
    right = np.random.default_rng(0).random(300) < 0.5
    table = compare_revisions(
        results("zero_shot/cifar10", decisions(right), decisions(right)), "epoch-001", "epoch-002"
    )
    assert (table["difference"] == 0).all()
    assert (table["p_value"] == 1).all()
    assert set(table["n_groups"]) == {100}


def test_what_makes_images_hard_for_both_cancels(results):
    """Pairing: b is right wherever a is, and on a few images more."""
    a = np.arange(100) < 50
    b = np.arange(100) < 58
    found = row(
        compare(results, a, b),
        "top1",
    )
    unpaired = stats.ttest_ind(b.astype(float), a.astype(float)).pvalue
    assert found["p_value"] < 0.01 < unpaired


def test_crossed_exemplars_are_clustered_in_two_ways(results):
    """A shift that hangs on the shape's exemplar alone is no more certain than that of so many exemplars."""
    rng = np.random.default_rng(0)
    rows = [(s, t) for s in range(12) for t in range(12)]
    shift = rng.random(12) < 0.5

    def trials(follow_shape):
        return pd.DataFrame(
            {
                "item": range(len(rows)),
                "image_id": [f"{s}-{t}" for s, t in rows],
                "shape": "cat",
                "texture": "dog",
                "shape_exemplar": [f"cat{s}" for s, _ in rows],
                "texture_exemplar": [f"dog{t}" for _, t in rows],
                "protocol": "",
                "decision": ["cat" if follow_shape(s) else "dog" for s, _ in rows],
                "preference": np.nan,
            }
        )

    path = results("shape_bias/cue_conflict", trials(lambda s: s < 3), trials(lambda s: s < 3 or shift[s]))
    found = row(compare_revisions(path, "epoch-001", "epoch-002"), "shape_accuracy")
    per_exemplar = np.array([float(s >= 3 and shift[s]) for s in range(12)])
    expected = stats.ttest_1samp(per_exemplar, 0)
    assert found["difference"] == pytest.approx(per_exemplar.mean())
    assert found["n_groups"] == 12
    # V_shape + V_texture - V_both, of which the last two are small beside the first
    assert found["p_value"] == pytest.approx(expected.pvalue, rel=0.5)


def test_every_benchmark_of_a_real_table_can_be_compared(evaluate, tmp_path):
    output = tmp_path / "results.parquet"
    names = ("noise/cifar10", "zero_shot/cifar10", "shape_bias/cue_conflict", "retrieval/flickr8k")
    results = evaluate(*names, output=output, sigmas=(0.0, 0.1))
    table = compare_revisions(output, "epoch-000", "epoch-002")
    assert set(table["benchmark"]) == set(names)
    assert not (table["p_value"] == 0).any()
    assert not table["metric"].str.startswith("interpretable").any()
    key = ["benchmark", "probe", "metric", "group"]
    own = table[table["metric"].str.removesuffix("/final_text") != "drop_when_both_right"]
    for side, revision in (("value_a", "epoch-000"), ("value_b", "epoch-002")):
        rows = without_flags(results[results["revision"] == revision]).set_index(key)["value"]
        compared = own.set_index(key)[side]
        pd.testing.assert_series_equal(compared.sort_index(), rows.sort_index(), check_names=False)


def test_the_drop_under_noise_is_also_taken_where_both_are_right_when_clean(results):
    """A better revision is right on more and harder images, which noise breaks first."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 10

    def trials(right_clean, right_noisy):
        def block(sigma, right):
            return pd.DataFrame(
                {
                    "item": np.arange(60),
                    "label": labels,
                    "sigma": sigma,
                    "noise_stage": "native",
                    "noise_kind": "gaussian",
                    "decision": np.where(right, labels, (labels + 1) % 10),
                    "distance": 0.1,
                    "spread": 1.0,
                    "n_classes": 10,
                }
            )

        return pd.concat([block(0.0, right_clean), block(0.2, right_noisy)], ignore_index=True)

    clean = [rng.random(60) < 0.6, rng.random(60) < 0.9]
    noisy = [one & (rng.random(60) < 0.7) for one in clean]
    path = results("noise/cifar10", *(trials(*one) for one in zip(clean, noisy, strict=True)))
    table = compare_revisions(path, "epoch-001", "epoch-002")
    found = row(table, "drop_when_both_right")
    both = clean[0] & clean[1]
    lost = [(~one[both]).astype(float) for one in noisy]
    assert (found["value_a"], found["value_b"]) == (
        pytest.approx(lost[0].mean()),
        pytest.approx(lost[1].mean()),
    )
    assert found["ci_low"] < found["difference"] < found["ci_high"]
    assert found["group"] == row(table, "drop_when_right")["group"] == "sigma=0.20"
    # a ratio whose denominator the jackknife knows: close to the paired t test on the common images
    assert found["p_value"] == pytest.approx(stats.ttest_rel(lost[1], lost[0]).pvalue, rel=0.1)
    nothing = results("noise/cifar10", trials(clean[0], noisy[0]), trials(~clean[0], noisy[1] & False))
    assert "drop_when_both_right" not in set(compare_revisions(nothing, "epoch-001", "epoch-002")["metric"])


@pytest.mark.filterwarnings("ignore::hf_clipdyn.metrics.undefined.UndefinedMetricWarning")
def test_the_kinds_with_human_judgements_can_be_compared(evaluate, tmp_path):
    output = tmp_path / "results.parquet"
    names = ("quality/tid2013", "similarity/nights", "jnd/bapps", "saliency/osie", "distortion/procedural")
    results = evaluate(*names, output=output, revisions=["epoch-000", "epoch-002"])
    table = compare_revisions(output, "epoch-000", "epoch-002")
    key = ["benchmark", "probe", "layer", "metric", "group"]
    assert not table.duplicated(key).any()
    assert not (table["p_value"] == 0).any()
    for side, revision in (("value_a", "epoch-000"), ("value_b", "epoch-002")):
        rows = without_flags(results[results["revision"] == revision]).set_index(key)["value"]
        compared = table.astype({"layer": "float64"}).set_index(key)[side]
        pd.testing.assert_series_equal(compared.sort_index(), rows.sort_index(), check_names=False)


def test_of_a_name_that_was_trained_anew_the_state_measured_last_counts(tmp_path):
    """The commits' ids say nothing about their order."""
    path = tmp_path / "results.parquet"
    row = {"probe": "projection", "layer": None, "metric": "top1", "group": "", "value": 0.5}
    with ResultsStore(path) as store:
        for revision, commit, right in (("1", "f", 0.2), ("2", "f", 0.9), ("2", "0", 0.4)):
            facts = pair(f"epoch-00{revision}", "zero_shot/cifar10") | {"commit": commit * 40}
            store.add(facts, [row], decisions(np.arange(10) < 10 * right))
    found = compare_revisions(path, "epoch-001", "epoch-002").set_index("metric").loc["top1"]
    assert (found["value_a"], found["value_b"]) == (0.2, 0.4)


def test_a_benchmark_that_only_one_revision_was_asked_is_passed_over(results):
    """Unless it is named: then what it lacks is said."""
    right = np.ones(10, bool)
    path = results("zero_shot/cifar10", decisions(right), decisions(right))
    results("zero_shot/cifar100", decisions(right))
    assert set(compare_revisions(path, "epoch-001", "epoch-002")["benchmark"]) == {"zero_shot/cifar10"}
    with pytest.raises(UnknownNameError, match=r"trials of zero_shot/cifar100 'epoch-002'"):
        compare_revisions(path, "epoch-001", "epoch-002", ["zero_shot/cifar100"])


def test_unknown_revisions_and_missing_trials_are_named(results, tmp_path):
    right = np.ones(10, bool)
    path = results("zero_shot/cifar10", decisions(right), decisions(right))
    with pytest.raises(UnknownNameError, match=r"'epoch-009'.*epoch-001, epoch-002"):
        compare_revisions(path, "epoch-001", "epoch-009")
    with pytest.raises(EvaluationError, match="no benchmark holds trials of epoch-001 and epoch-002"):
        compare_revisions(tmp_path / "other.parquet", "epoch-001", "epoch-002")
