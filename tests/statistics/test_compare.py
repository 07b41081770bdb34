"""Two revisions, paired on the same stimuli."""

import numpy as np
import pandas as pd
import pytest
from kept_cells import decisions, keep, noise_decisions
from made_trials import TRIALS
from result_rows import cell
from scipy import stats

from hf_clipdyn.benchmarks.registry import kind_named
from hf_clipdyn.errors import EvaluationError, UnknownNameError
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import NUMBER_KEY
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


def row(table, metric, role="value"):
    rows = table[(table["metric"] == metric) & (table["role"] == role)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_the_difference_of_two_accuracies_is_that_of_the_paired_t_test(results):
    ease = np.random.default_rng(0).random((2, 80))
    a, b = ease[0] < 0.4, ease.mean(axis=0) < 0.6
    path = results("zero_shot/cifar10", decisions(a), decisions(b))
    found = row(compare_revisions(path, "epoch-001", "epoch-002"), "top1")
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
    few = ~clean[0]
    few[np.flatnonzero(clean[0])[:9]] = True  # nine images are right in both
    nothing = results("noise/cifar10", trials(clean[0], noisy[0]), trials(few, noisy[1] & False))
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


def shared(kind, trials, index):
    """Which units share a cluster, (n, n), and the number of clusters: one name after the other."""
    if index.names == ["item"]:
        rows = trials.drop_duplicates("item").set_index("item", drop=False).loc[index]
        ways = [[rows[name] for name in ([way] if isinstance(way, str) else way)] for way in kind.clusters]
    else:
        ways = [[column] for _, column in index.to_frame(index=False).items()]
    names = [{(at, name) for at, way in enumerate(ways) for column in way for name in [column.iloc[k]]}
             for k in range(len(index))]  # fmt: skip
    of_ways = [len({name for column in way for name in column}) for way in ways]
    return np.array([[bool(one & other) for other in names] for one in names]), min(of_ways)


@pytest.mark.parametrize("benchmark", TRIALS)
def test_a_difference_has_the_error_of_a_double_loop_over_units_that_share_a_cluster(results, benchmark):
    """Of images alone, of crossed exemplars, of triplets with common images, of images and people."""
    kind = kind_named(benchmark.partition("/")[0])
    sides = [TRIALS[benchmark](np.random.default_rng(seed), skill) for seed, skill in ((0, 0.4), (1, 0.5))]
    table = compare_revisions(results(benchmark, *sides), "epoch-001", "epoch-002", show_progress=False)
    scores = [{one.number_key: one for one, _ in kind.score(trials)} for trials in sides]
    compared = 0
    for found in table[table["role"] == "value"].astype({"layer": object}).to_dict("records"):
        key = tuple(None if pd.isna(found[name]) else found[name] for name in NUMBER_KEY)
        if key not in scores[0] or scores[0][key].influence is None or not found["p_value"] < 1:
            continue
        change = scores[1][key].influence.sub(scores[0][key].influence, fill_value=0.0)
        pairs, n_clusters = shared(kind, sides[0], change.index)
        error = np.sqrt(change.to_numpy() @ pairs @ change.to_numpy() / (1 - pairs.mean()))
        half = stats.t.ppf(0.975, n_clusters - 1) * error
        assert found["difference"] == pytest.approx(scores[1][key].value - scores[0][key].value)
        assert found["n_clusters"] == n_clusters
        assert found["ci_high"] - found["difference"] == pytest.approx(half)
        expected = 2 * stats.t.sf(abs(found["difference"]) / error, n_clusters - 1)
        assert found["p_value"] == pytest.approx(expected)
        compared += 1
    assert compared


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A table of three revisions of one model and of the last one of another, on three benchmarks."""
    path = tmp_path_factory.mktemp("several") / "results.parquet"
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
        cues = TRIALS["shape_bias/cue_conflict"](rng, 0.3 + 0.1 * place)
        keep(store, cell(revision, "shape_bias/cue_conflict", **model), cues)
    store.rebuild()
    return path


def compared(path, a, b, **options):
    table = compare_revisions(path, a, b, show_progress=False, **options)
    return table, table[table["outside_family"] == ""]


def test_the_family_is_fixed_before_looking_and_other_rows_say_why_they_are_outside(several):
    table, family = compared(several, "epoch-001", "epoch-002")
    numbers = family[["metric", "variant", "condition", "level"]].fillna(-1)
    assert set(numbers.itertuples(index=False, name=None)) == {
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
    adjusted_columns = ["p_adjusted", "ci_low_simultaneous", "ci_high_simultaneous", "family_size"]
    assert outside[adjusted_columns].isna().all(axis=None)
    assert set(outside["correction"]) == set(outside["equal_to"]) == {""}
    assert set(outside["outside_family"]) == {
        *("not a value of the model", "texts of the last revision", "not a main metric"),
        *("not the default variant", "one of several layers or levels"),
    }


def test_of_distances_the_first_is_the_default_variant(results):
    sides = []
    for skill in (0.2, 0.7):
        one = TRIALS["similarity/material_similarity"](np.random.default_rng(0), skill)
        both = pd.concat([one.assign(distance=name) for name in ("cosine", "euclidean")])
        sides.append(both.assign(subset=np.where(both["item"] < 100, "one", "two")))
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
    options = {"family": "all", "benchmarks": ["zero_shot/cifar10", "noise/cifar10"]}
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


def test_several_revisions_beside_one_are_one_family_in_any_order(several):
    without_noise = {"benchmarks": ["zero_shot/cifar10", "shape_bias/cue_conflict"]}
    _, both = compared(several, "epoch-001", ["epoch-002", "epoch-003"], **without_noise)
    assert set(both["family_size"]) == {8}
    assert (set(both["revision_a"]), set(both["revision_b"])) == ({"epoch-001"}, {"epoch-002", "epoch-003"})
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


def test_what_cannot_be_compared_is_named(several, tmp_path):
    for a, b, says in (
        ("epoch-001", "epoch-009", r"'epoch-009'.*epoch-001, epoch-002"),
        ("me/run", "me/third", r"'me/third'.*me/other"),
        ("me/run@epoch-009", "me/other", "'me/run@epoch-009'"),
    ):
        with pytest.raises(UnknownNameError, match=says):
            compare_revisions(several, a, b)
    with pytest.raises(EvaluationError, match="epoch-001 would be compared with itself"):
        compare_revisions(several, "epoch-001", ["epoch-002", "epoch-001"])
    with pytest.raises(EvaluationError, match="No benchmark has trials of epoch-001 and epoch-002"):
        compare_revisions(tmp_path / "other.parquet", "epoch-001", "epoch-002")
