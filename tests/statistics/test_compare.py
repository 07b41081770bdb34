"""Two revisions, paired on the same stimuli."""

import numpy as np
import pandas as pd
import pytest
from kept_cells import decisions, keep, noise_decisions
from result_rows import cell
from scipy import stats
from scipy.special import log_softmax

from hf_clipdyn.benchmarks.kinds.shape_bias import ShapeBias
from hf_clipdyn.errors import EvaluationError, UnknownNameError
from hf_clipdyn.metrics.rsa import rsa_of_models
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.statistics.compare import compare_revisions
from hf_clipdyn.statistics.corrections import adjusted


@pytest.fixture
def results(tmp_path):
    """`results("zero_shot/cifar10", trials_a, trials_b)`: a table with those trials of epoch-001 and epoch-002."""

    def write(benchmark, *trials):
        path = tmp_path / "results.parquet"
        store = CellStore(path)
        for number, one in enumerate(trials, 1):
            keep(store, cell(f"epoch-00{number}", benchmark), one)
        store.rebuild()
        return path

    return write


def compare(results, right_a, right_b):
    path = results("zero_shot/cifar10", decisions(right_a), decisions(right_b))
    return compare_revisions(path, "epoch-001", "epoch-002")


def row(table, metric, role="value"):
    rows = table[(table["metric"] == metric) & (table["role"] == role)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_the_difference_of_two_accuracies_is_that_of_the_paired_t_test(results):
    ease = np.random.default_rng(0).random((2, 80))
    a, b = ease[0] < 0.4, ease.mean(axis=0) < 0.6
    found = row(compare(results, a, b), "top1")
    assert found["p_value"] < stats.ttest_ind(b.astype(float), a.astype(float)).pvalue, (
        "hard for both cancels"
    )
    expected = stats.ttest_rel(b.astype(float), a.astype(float))
    low, high = expected.confidence_interval()
    assert (found["value_a"], found["value_b"]) == (a.mean(), b.mean())
    assert found["difference"] == pytest.approx(b.mean() - a.mean())
    assert found["p_value"] == pytest.approx(expected.pvalue)
    assert (found["ci_low"], found["ci_high"]) == (pytest.approx(low), pytest.approx(high))
    assert found["n_clusters"] == 80


def test_the_drop_under_noise_is_also_taken_where_both_are_right_when_clean(results):
    """A better revision is right on more and harder images, which noise breaks first."""
    rng = np.random.default_rng(0)

    def trials(right_clean, right_noisy):
        return noise_decisions({0.0: right_clean, 0.2: right_noisy})

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
    assert found["level"] == row(table, "drop_when_right")["level"] == 0.2
    # a ratio whose denominator the jackknife knows: close to the paired t test on the common images
    assert found["p_value"] == pytest.approx(stats.ttest_rel(lost[1], lost[0]).pvalue, rel=0.1)
    nothing = results("noise/cifar10", trials(clean[0], noisy[0]), trials(~clean[0], noisy[1] & False))
    assert "drop_when_both_right" not in set(compare_revisions(nothing, "epoch-001", "epoch-002")["metric"])


def test_of_a_revision_that_was_trained_again_the_state_measured_last_counts(tmp_path):
    """The commits' ids say nothing about their order."""
    path = tmp_path / "results.parquet"
    store = CellStore(path)
    for revision, commit, right in (("1", "f", 0.2), ("2", "f", 0.9), ("2", "0", 0.4)):
        one = cell(f"epoch-00{revision}", "zero_shot/cifar10", commit=commit * 40)
        keep(store, one, decisions(np.arange(10) < 10 * right))
    store.rebuild()
    found = row(compare_revisions(path, "epoch-001", "epoch-002"), "top1")
    assert (found["value_a"], found["value_b"]) == (0.2, 0.4)


def test_a_benchmark_that_only_one_revision_was_asked_is_passed_over(results):
    """Unless it is named: then what it lacks is said."""
    right = np.ones(10, bool)
    path = results("zero_shot/cifar10", decisions(right), decisions(right))
    results("zero_shot/cifar100", decisions(right))
    assert set(compare_revisions(path, "epoch-001", "epoch-002")["dataset"]) == {"cifar10"}
    with pytest.raises(UnknownNameError, match=r"revision in the results 'epoch-002'"):
        compare_revisions(path, "epoch-001", "epoch-002", ["zero_shot/cifar100"])


def test_unknown_revisions_and_missing_trials_are_named(results, tmp_path):
    right = np.ones(10, bool)
    path = results("zero_shot/cifar10", decisions(right), decisions(right))
    with pytest.raises(UnknownNameError, match=r"'epoch-009'.*epoch-001, epoch-002"):
        compare_revisions(path, "epoch-001", "epoch-009")
    with pytest.raises(EvaluationError, match="No benchmark has trials of epoch-001 and epoch-002"):
        compare_revisions(tmp_path / "other.parquet", "epoch-001", "epoch-002")


def shape_trials(rng, names, lean):
    """Trials of 96 conflict images with every way of asking; ``lean`` is the share of decisions for the shape."""
    rows = pd.DataFrame(
        [
            (s, t, f"{s}{i}", f"{t}{j}")
            for s in names
            for i in range(4)
            for t in names
            for j in range(2)
            if s != t
        ],
        columns=["shape", "texture", "shape_exemplar", "texture_exemplar"],
    )
    rows = rows.assign(item=range(len(rows)), image_id=[f"i{k}" for k in range(len(rows))])

    def decided():
        luck = rng.random(
            len(rows)
        )  # what is left goes to one class, so that no two are decided for most often
        return np.where(luck < lean, rows["shape"], np.where(luck < 0.8, rows["texture"], names[0]))

    effects = rng.normal(0, 0.02, len(rows))
    blocks = [
        rows.assign(protocol="", decision=decided()),
        rows.assign(protocol="name", decision=decided()),
        rows.assign(
            protocol="text_free", preference=rng.random(len(rows)), mate_effect=effects - effects.mean()
        ),
        *(rows.assign(protocol="crossed_probe", cue=cue, decision=decided()) for cue in ("shape", "texture")),
    ]
    people = np.random.default_rng(9)
    for observer in ("one", "two"):
        answers = np.where(people.random(len(rows)) < 0.8, rows["shape"], rows["texture"])
        blocks.append(rows.assign(protocol="human", observer=observer, decision=answers))
    return pd.concat(blocks, ignore_index=True)


def test_what_images_contribute_to_an_error_is_what_leaving_them_out_changes():
    """The influences of `ShapeBias` against a jackknife that scores again without each image."""
    names = ["cat", "car", "dog", "bus"]
    trials = shape_trials(np.random.default_rng(0), names, 0.5)

    def score(rows):
        return {one.number_key: one.value for one, _ in ShapeBias.score(rows)}

    whole = score(trials)
    n = trials["item"].nunique()
    left_out = pd.DataFrame([score(trials[trials["item"] != item]) for item in range(n)])
    numbers = [one for one, _ in ShapeBias.score(trials)]
    found = {one.number_key: one.influence for one in numbers if one.role == "value"}
    for key, influence in found.items():
        assert influence.sum() == pytest.approx(0, abs=1e-9)
        if "shape_preference" in key:  # what an image does as a mate shows in the trials, not in the score
            continue
        jackknife = (whole[key] - left_out[key]) * (n - 1) / n
        assert influence.sort_index().to_numpy() == pytest.approx(
            jackknife.to_numpy(), rel=0.1, abs=0.06 / n
        ), key


def test_crossed_exemplars_are_compared_as_in_a_double_loop_over_images(results):
    names = ["cat", "car", "dog", "bus"]
    first, second = (
        shape_trials(np.random.default_rng(seed), names, lean) for seed, lean in ((0, 0.4), (1, 0.5))
    )
    table = compare_revisions(
        results("shape_bias/cue_conflict", first, second), "epoch-001", "epoch-002", show_progress=False
    )
    found = row(table[(table["probe"] == "projection") & (table["variant"] == "")], "shape_accuracy")
    rows = first[first["protocol"] == ""]
    right = [
        (side[side["protocol"] == ""]["decision"] == rows["shape"].to_numpy()).to_numpy()
        for side in (first, second)
    ]
    gained = right[1].astype(float) - right[0]
    n = len(rows)
    shape, texture = rows["shape_exemplar"].to_numpy(), rows["texture_exemplar"].to_numpy()
    deviations = (gained - gained.mean()) / n
    shared = (shape[:, None] == shape) | (texture[:, None] == texture)
    variance = sum(deviations[i] * deviations[j] for i in range(n) for j in range(n) if shared[i, j])
    error = np.sqrt(variance / (1 - shared.mean()))
    half = stats.t.ppf(0.975, len(set(texture)) - 1) * error
    assert found["difference"] == pytest.approx(gained.mean())
    assert (found["ci_low"], found["ci_high"]) == (
        pytest.approx(gained.mean() - half),
        pytest.approx(gained.mean() + half),
    )


def triplet_trials(rng, images, noise):
    depth = np.random.default_rng(5).normal(size=100)
    seen = depth + noise * rng.normal(size=100)
    return pd.DataFrame(
        {
            "item": range(len(images)),
            **{name: images[:, i] for i, name in enumerate(("reference", "image_0", "image_1"))},
            "judgement": (
                np.abs(depth[images[:, 2]] - depth[images[:, 0]])
                < np.abs(depth[images[:, 1]] - depth[images[:, 0]])
            ).astype(float),
            "votes": 5,
            "subset": "one",
            "probe": "projection",
            "layer": pd.array([None] * len(images), "Int64"),
            "distance": "cosine",
            "dropped_dimensions": 0,
            "value_0": np.abs(seen[images[:, 1]] - seen[images[:, 0]]),
            "value_1": np.abs(seen[images[:, 2]] - seen[images[:, 0]]),
        }
    )


def test_two_revisions_on_triplets_are_compared_over_all_pairs_that_share_an_image(results):
    rng = np.random.default_rng(0)
    images = np.array([rng.choice(100, 3, replace=False) for _ in range(400)])
    sides = [triplet_trials(rng, images, noise) for noise in (1.0, 0.3)]
    found = row(
        compare_revisions(results("similarity/material_similarity", *sides), "epoch-001", "epoch-002"),
        "two_afc",
    )
    scores = [
        np.where(one["value_0"] < one["value_1"], 1 - one["judgement"], one["judgement"]) for one in sides
    ]
    gained = scores[1] - scores[0]
    sets = [set(one) for one in images.tolist()]
    pairs = [(i, j) for i in range(400) for j in range(400) if sets[i] & sets[j]]
    deviations = (gained - gained.mean()) / 400
    error = np.sqrt(sum(deviations[i] * deviations[j] for i, j in pairs) / (1 - len(pairs) / 400**2))
    n_images = len(np.unique(images))
    assert found["difference"] == pytest.approx(gained.mean())
    assert found["n_clusters"] == n_images
    assert found["p_value"] == pytest.approx(2 * stats.t.sf(abs(gained.mean()) / error, n_images - 1))


def matrix_trials(rng, people, truth, noise):
    """Trials of the projection and of people: dissimilarities of ten images."""
    first, second = np.triu_indices(10, 1)
    vectors = {("person", f"person_{at}", ""): one for at, one in enumerate(people)}
    vectors["projection", "", "cosine"] = truth + rng.normal(0, noise, len(truth))
    frames = [
        pd.DataFrame(
            {
                "item": first,
                "partner": second,
                "category": "one",
                "partner_category": "one",
                "probe": probe,
                "name": name,
                "layer": pd.array([None] * len(first), "Int64"),
                "distance": distance,
                "value": value,
            }
        )
        for (probe, name, distance), value in vectors.items()
    ]
    return pd.concat(frames, ignore_index=True)


def test_two_matrices_are_compared_over_the_same_drawn_images_and_people(results):
    rng = np.random.default_rng(0)
    truth = rng.random(45)
    people = truth + rng.normal(0, 0.3, (4, 45))
    sides = [matrix_trials(rng, people, truth, noise) for noise in (1.0, 0.2)]
    models = np.stack([one.loc[one["probe"] == "projection", "value"] for one in sides])
    table = compare_revisions(results("representation/objects92", *sides), "epoch-001", "epoch-002")
    first, second = (one["alignment"] for one in rsa_of_models(models, people))
    cells = (second.influence - first.influence).reshape(10, 4)
    crossed = [np.square(part).sum() for part in (cells.sum(axis=1), cells.sum(axis=0), cells)]
    error = np.sqrt((crossed[0] + crossed[1] - crossed[2]) / (1 - 1 / 10 - 1 / 4 + 1 / 40))
    found = row(table, "alignment")
    assert found["difference"] == pytest.approx(second.value - first.value)
    assert found["p_value"] == pytest.approx(2 * stats.t.sf((second.value - first.value) / error, 3))
    assert found["n_clusters"] == 4
    ceiling = table[(table["metric"] == "alignment") & (table["reference"] == "lower")].iloc[0]
    assert (ceiling["difference"], ceiling["p_value"]) == (0, 1)
    assert set(table["metric"]) == {"alignment"}


def count_trials(rng, counts, labels, scale):
    human = counts / counts.sum(axis=1, keepdims=True)
    return pd.DataFrame(
        {
            "item": np.arange(len(labels)),
            "label": labels,
            "counts": counts.tolist(),
            "cosines": (np.log(human + 0.05) + rng.normal(0, 0.2, human.shape)).tolist(),
            "logit_scale": scale,
        }
    )


def test_the_cross_entropies_of_two_revisions_are_compared_image_by_image(results):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    counts = rng.multinomial(20, np.ones(3) / 3, 60) + 20 * np.eye(3, dtype=int)[labels]
    sides = [count_trials(rng, counts, labels, scale) for scale in (5.0, 1.0)]
    table = compare_revisions(results("label_distribution/cifar10h", *sides), "epoch-001", "epoch-002")
    human = counts / counts.sum(axis=1, keepdims=True)
    crossed = [
        -(human * log_softmax(one["logit_scale"].iloc[0] * np.stack(one["cosines"]), axis=1)).sum(axis=1)
        for one in sides
    ]
    expected = stats.ttest_rel(crossed[1], crossed[0])
    found = table[
        (table["metric"] == "cross_entropy") & (table["role"] == "value") & (table["variant"] == "")
    ].iloc[0]
    assert found["difference"] == pytest.approx(np.mean(crossed[1] - crossed[0]))
    assert found["p_value"] == pytest.approx(expected.pvalue)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A table of three revisions of one model and of the last one of another, on three benchmarks."""
    path, names = tmp_path_factory.mktemp("several") / "results.parquet", ["cat", "car", "dog", "bus"]
    store = CellStore(path)
    states = [("me/run", "epoch-001"), ("me/run", "epoch-002"), ("me/run", "epoch-003"), ("me/other", "main")]
    for place, (repo, revision) in enumerate(states):
        rng = np.random.default_rng(place)
        model = {"repo_id": repo, "commit": f"{place}" * 40, "step": place}
        # the fingerprint contains the pixels at the model's resolution
        model["data_fingerprint"] = ("f" if repo == "me/run" else "e") * 64
        right = rng.random(200) < 0.4 + 0.1 * place
        keep(store, cell(revision, "zero_shot/cifar10", **model), decisions(right))
        if place < 2:
            last = model | {"texts": "last", "text_commit": "2" * 40}
            keep(store, cell(revision, "zero_shot/cifar10", **last), decisions(right))
        noisy = noise_decisions({sigma: rng.random(60) < 0.9 - sigma for sigma in (0.0, 0.1, 0.2)})
        keep(store, cell(revision, "noise/cifar10", **model), noisy)
        cues = shape_trials(rng, names, 0.3 + 0.1 * place)
        keep(store, cell(revision, "shape_bias/cue_conflict", **model), cues)
    store.rebuild()
    return path


def compared(path, a, b, **options):
    table = compare_revisions(path, a, b, show_progress=False, **options)
    return table, table[table["outside_family"] == ""]


def test_the_family_is_fixed_before_looking_and_other_rows_say_why_they_are_outside(several):
    table, family = compared(several, "epoch-001", "epoch-002")
    numbers = (
        family[["metric", "variant", "condition", "level"]].fillna(-1).itertuples(index=False, name=None)
    )
    assert set(numbers) == {
        ("top1", "", "none", -1),
        ("chance_corrected_drop", "", "gaussian", 0.2),  # the level of the overview
        *((metric, "", "none", -1) for metric in ("shape_preference", "shape_bias", "cue_accuracy")),
    }
    assert set(family["family_size"]) == {len(family)} == {5}
    assert set(family["correction"]) == {"bonferroni"}
    assert family["p_adjusted"].to_numpy() == pytest.approx(adjusted(family["p_value"]))
    simultaneous = stats.t.ppf(1 - 0.05 / 10, family["n_clusters"] - 1)
    single = stats.t.ppf(0.975, family["n_clusters"] - 1)
    width = (family["ci_high"] - family["ci_low"]) * simultaneous / single
    assert (family["ci_high_simultaneous"] - family["ci_low_simultaneous"]).to_numpy() == pytest.approx(width)
    outside = table[table["outside_family"] != ""]
    assert (
        outside[["p_adjusted", "ci_low_simultaneous", "ci_high_simultaneous", "family_size"]]
        .isna()
        .all(axis=None)
    )
    assert set(outside["correction"]) == set(outside["equal_to"]) == {""}
    assert set(outside["outside_family"]) == {
        *("not a value of the model", "texts of the last revision", "not a main metric"),
        *("not the default variant", "one of several layers or levels"),
    }


def test_of_distances_the_first_is_the_default_variant(results):
    rng = np.random.default_rng(0)
    images = np.array([rng.choice(100, 3, replace=False) for _ in range(200)])
    sides = [
        pd.concat(
            [triplet_trials(rng, images, noise).assign(distance=one) for one in ("cosine", "euclidean")]
        ).assign(subset=lambda trials: np.where(trials["item"] < 100, "one", "two"))
        for noise in (1.0, 0.3)
    ]
    path = results("similarity/material_similarity", *sides)
    table, family = compared(path, "epoch-001", "epoch-002")
    assert family[["metric", "variant", "subset"]].to_numpy().tolist() == [["two_afc", "cosine", ""]]
    assert {"not the default variant", "a part of the data"} <= set(table["outside_family"])


def test_a_number_without_a_p_value_is_outside_with_its_cause(results):
    path = results("zero_shot/cifar10", decisions(np.zeros(40, bool)), decisions(np.ones(40, bool)))
    table, family = compared(path, "epoch-001", "epoch-002")
    assert family.empty
    found = row(table, "top1")
    assert (found["difference"], found["outside_family"]) == (1, "no item changes the difference")
    assert np.isnan([found["p_value"], found["ci_low"], found["ci_high"]]).all()


def test_exploration_corrects_all_values_and_gives_only_findings_an_interval(several):
    options = {"family": "all", "benchmarks": ["zero_shot/cifar10", "shape_bias/cue_conflict"]}
    table, family = compared(several, "epoch-001", "epoch-003", correction="bh", **options)
    values = table[(table["role"] == "value") & table["p_value"].notna()]
    assert len(family) == len(values)
    distinct = family[family["equal_to"] == ""]
    expected = stats.false_discovery_control(distinct["p_value"])
    assert distinct["p_adjusted"].to_numpy() == pytest.approx(expected)
    selected = family["p_adjusted"] <= 0.05
    assert 0 < selected.sum() < len(family)
    assert (family["ci_low_simultaneous"].notna() == selected).all()
    _, plain = compared(several, "epoch-001", "epoch-003", correction="none", **options)
    assert plain["ci_low_simultaneous"].to_numpy() == pytest.approx(plain["ci_low"])
    with pytest.raises(UnknownNameError, match=r"correction 'sidak'.*holm"):
        compared(several, "epoch-001", "epoch-002", correction="sidak")


def test_differences_that_are_one_number_by_construction_are_counted_once(several):
    options = {
        "family": "all",
        "benchmarks": ["zero_shot/cifar10", "noise/cifar10"],
    }
    _, family = compared(several, "epoch-001", ["epoch-002", "epoch-003"], **options)
    first = family["equal_to"] == ""
    assert set(family["family_size"]) == {first.sum()}
    assert family.loc[first, "p_adjusted"].to_numpy() == pytest.approx(adjusted(family.loc[first, "p_value"]))
    clean = family.query("metric == 'accuracy' and (condition == 'none' or level == 0)")
    for _, same in clean.groupby("revision_b"):
        first, second = (row for _, row in same.iterrows())  # of the clean images, and at noise level 0
        assert first["difference"] == second["difference"]
        assert sorted((bool(first["equal_to"]), bool(second["equal_to"]))) == [False, True]
        assert first["p_adjusted"] == second["p_adjusted"]
    levels = family.query("metric == 'accuracy' and condition == 'gaussian' and level > 0")
    assert set(levels["equal_to"]) == {""}, "one metric at two levels is two numbers"


def test_differences_of_nothing_are_not_one_number(results):
    right = np.random.default_rng(0).random(300) < 0.5
    path = results("zero_shot/cifar10", decisions(right), decisions(right))
    table, family = compared(path, "epoch-001", "epoch-002", family="all")
    assert (table["difference"] == 0).all()
    assert (table["p_value"] == 1).all()
    assert set(family["equal_to"]) == {""}
    assert set(family["family_size"]) == {len(family)}


def test_several_revisions_beside_one_are_one_family_in_any_order(several):
    without_noise = {"benchmarks": ["zero_shot/cifar10", "shape_bias/cue_conflict"]}
    _, both = compared(several, "epoch-001", ["epoch-002", "epoch-003"], **without_noise)
    assert set(both["family_size"]) == {8}
    assert both.groupby("revision_b")["revision_a"].unique().map(list).to_dict() == {
        "epoch-002": ["epoch-001"],
        "epoch-003": ["epoch-001"],
    }
    single = [compared(several, "epoch-001", name, **without_noise)[1] for name in ("epoch-002", "epoch-003")]
    assert both["p_value"].tolist() == pd.concat(single)["p_value"].tolist()
    assert both["p_adjusted"].to_numpy() == pytest.approx(adjusted(both["p_value"]))
    _, turned = compared(several, "epoch-001", ["epoch-003", "epoch-002"], **without_noise)
    turned = turned.sort_values("revision_b", kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(turned, both.reset_index(drop=True))


def test_models_are_compared_by_their_last_revisions_on_the_same_items(several):
    _, family = compared(several, "me/run", "me/other", benchmarks=["zero_shot/cifar10"])
    (only,) = family.to_dict("records")
    assert [only[name] for name in ("run_a", "revision_a", "run_b", "revision_b")] == [
        *("me/run", "epoch-003", "me/other", "main")
    ]
    right = [np.random.default_rng(place).random(200) < 0.4 + 0.1 * place for place in (2, 3)]
    expected = stats.ttest_rel(*(side.astype(float) for side in reversed(right)))
    assert only["p_value"] == pytest.approx(expected.pvalue)
    _, earlier = compared(
        several, "me/other", ["me/run@epoch-001", "me/run"], benchmarks=["zero_shot/cifar10"]
    )
    assert earlier["revision_b"].tolist() == ["epoch-001", "epoch-003"]
    assert earlier["difference"].iloc[1] == -only["difference"]


def test_models_in_two_tables_are_compared_too(tmp_path):
    right = np.random.default_rng(0).random((2, 80)) < [[0.4], [0.7]]
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path, side in zip(paths, right, strict=True):
        store = CellStore(path)
        keep(store, cell("main", "zero_shot/cifar10", repo_id=f"me/{path.stem}"), decisions(side))
        store.rebuild()
    found = row(compare_revisions(paths, "me/a", "me/b"), "top1")
    assert found["p_value"] == pytest.approx(stats.ttest_rel(*right.astype(float)).pvalue)


def test_a_model_that_was_not_measured_and_a_comparison_with_itself_are_refused(several):
    with pytest.raises(UnknownNameError, match="'me/third'"):
        compare_revisions(several, "me/run", "me/third")
    with pytest.raises(UnknownNameError, match="'me/run@epoch-009'"):
        compare_revisions(several, "me/run@epoch-009", "me/other")
    with pytest.raises(EvaluationError, match="epoch-001 would be compared with itself"):
        compare_revisions(several, "epoch-001", ["epoch-002", "epoch-001"])
