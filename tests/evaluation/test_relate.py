"""Relations come from saved trials alone, are computed once, and form trajectories."""

import json
import re
import shutil
from itertools import combinations, pairwise

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from planted import Noise, Planted, Run, ramp, write_study
from printed_blocks import CHECKOUT, blocks_of
from safetensors.numpy import load_file

from hf_clipdyn.benchmarks.registry import kinds, relations
from hf_clipdyn.benchmarks.relation import keyed
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.metrics.cka import cka
from hf_clipdyn.metrics.error_consistency import error_consistency
from hf_clipdyn.metrics.influence import mean_over_pairs
from hf_clipdyn.metrics.learning_order import learning_order
from hf_clipdyn.metrics.weight_path import weight_path
from hf_clipdyn.results.cells import CellStore, cells_folder
from hf_clipdyn.results.table import load
from hf_clipdyn.results.trials import KeptTrials
from hf_clipdyn.statistics.compare import compare_revisions

SHARES = [0, 0.1, 0.4, 1.0]
RUNS = [Run(scale="tiny", seed=seed, planted=Planted(accuracy=ramp(0.2, 0.9))) for seed in (10, 11, 12)]
NOISY = Run(scale="tiny", seed=11, planted=Planted(), arm="noise")
FIRST = RUNS[0].repo_id


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    return write_study(folder / "results.parquet", [*RUNS, NOISY], shares=SHARES, noise=Noise())


@pytest.fixture(scope="module")
def done(planted, tmp_path_factory):
    """The study with its relations, which nobody changes."""
    output = tmp_path_factory.mktemp("done") / planted.name
    copied(planted, output.parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hf_clipdyn.evaluation.evaluate.Plan", None)  # neither model, data nor Hub
        relate(output, "error_consistency", "learning_order", repo_id=[run.repo_id for run in RUNS])
    return output


@pytest.fixture(scope="module")
def rows(done):
    """Of the first run."""
    rows = load(done).rows
    rows = rows[(rows["repo_id"] == FIRST) & rows["kind"].str.contains("-")]
    sorts = {json.loads(one)["with"] for one in rows["settings"]}
    assert sorts == {"previous", "last", "seeds", "pairs", "run", "runs"}
    return rows


def copied(table, folder):
    for path in table.parent.iterdir():
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, folder / path.name)


@pytest.fixture
def output(planted, tmp_path):
    copied(planted, tmp_path)
    return tmp_path / planted.name


def relate(output, *names, repo_id=FIRST, **options):
    options = {"benchmarks": None, "show_progress": False} | options
    return evaluate_revisions(repo_id, relations=names, output=output, **options).to_pandas()


def kappas(rows, kind="zero_shot", **columns):
    chosen = rows[(rows["kind"] == f"error_consistency-{kind}") & (rows["metric"] == "kappa")]
    for name, value in ({"role": "value", "condition": "none"} | columns).items():
        chosen = chosen[chosen[name] == value]
    return chosen


def right(output, revision, repo_id=FIRST):
    store = CellStore(output)
    key = next(
        one.key
        for one in store.cells()
        if (one.repo_id, one.revision, one.kind) == (repo_id, revision, "zero_shot")
    )
    trials = store.trials(key)
    return (trials["ranking"].str[0] == trials["label"]).to_numpy()


def test_revisions_are_related_with_the_one_before_and_the_last(done, rows):
    rows = rows[rows["kind"].str.startswith("error_consistency")]
    commits = dict(zip(rows["revision"], rows["commit"], strict=True))
    names = sorted(commits)
    previous, last = (kappas(rows, reference=name).set_index("revision") for name in ("previous", "last"))
    assert previous["other"].to_dict() == {name: commits[before] for before, name in pairwise(names)}
    assert last["other"].to_dict() == dict.fromkeys(names[:-1], commits[names[-1]])
    for revision, row in previous.iterrows():
        before = names[names.index(revision) - 1]
        wanted = error_consistency(right(done, revision), right(done, before))
        assert row["value"] == pytest.approx(wanted["kappa"].value, abs=1e-12)
        assert row["ci_low"] < row["value"] < row["ci_high"]
        assert (row["n"], row["n_clusters"]) == (240, 240)
    bounds = rows[(rows["metric"] == "kappa") & (rows["role"] == "upper_bound")]
    assert set(bounds["reference"]) >= {"previous", "last"}, "a bound belongs to its pair"


def test_what_is_done_is_kept_and_what_has_changed_is_computed_again(output):
    names = ("error_consistency", "learning_order")
    first = relate(output, *names)
    written = {file: file.stat().st_mtime_ns for file in cells_folder(output).iterdir()}
    assert relate(output, *names).equals(first)
    assert {file: file.stat().st_mtime_ns for file in cells_folder(output).iterdir()} == written
    newer = output.parent / "newer"
    newer.mkdir()
    write_study(newer / "results.parquet", RUNS[:1], shares=[*SHARES, 1.2])
    for name in ("cells", "trials"):  # the run went on
        for file in (newer / f"results.{name}").iterdir():
            if not (output.parent / f"results.{name}" / file.name).exists():
                shutil.copy(file, output.parent / f"results.{name}")
    again = relate(output, *names)
    done = set(zip(first["revision"], first["other"], strict=True))
    pairs = set(zip(again["revision"], again["other"], strict=True))
    previous = kappas(first, reference="previous")
    assert set(zip(previous["revision"], previous["other"], strict=True)) <= pairs & done
    read = load(output).rows
    last = kappas(read[read["repo_id"] == FIRST], reference="last")
    assert last["revision"].tolist() == [f"epoch-{at:03d}" for at in range(4)]
    assert last["other"].nunique() == 1, "the relations with what was last are replaced"


def test_a_dry_run_counts_the_pairs_that_are_missing_and_writes_nothing(done, clipdyn):
    files = set(done.parent.rglob("*"))
    runs = [run.repo_id for run in [*RUNS, NOISY]]
    said = clipdyn("evaluate", *runs, "-o", done, "--relations", "error_consistency", "--dry_run")[1]
    # Of each run three pairs with the one before, three with the last, four with other seeds; and four of all pairs.
    assert re.search(r"error_consistency-zero_shot +44 +10\n", said)
    assert set(done.parent.rglob("*")) == files


def test_the_cache_command_deletes_trials_beside_a_table_and_their_numbers_stay(embedded, tmp_path, clipdyn):
    output, _ = embedded
    copied(output, tmp_path)
    table = tmp_path / output.name
    before = load(table).rows
    words = ("cache", "--results", table, "--delete")
    for chosen, deleted in ((("all", "--older-than", "1"), 0), (("geometry",), 1)):
        code, said, _ = clipdyn(*words, *chosen)
        assert (code, f"Deleted: {deleted} entries" in said) == (0, True)
    assert not list((tmp_path / "results.trials").iterdir())
    CellStore(table).rebuild()
    assert load(table).rows.equals(before)
    for wrong in (("cache", "--results", tmp_path / "none.parquet"), (*words, "geometri")):
        code, _, error = clipdyn(*wrong)
        assert code in (1, 2)
        assert error.count("\n") == 1


def test_a_newer_scoring_of_the_named_benchmarks_is_computed_again(done, tmp_path, monkeypatch):
    copied(done, tmp_path)
    monkeypatch.setattr(relations()["error_consistency"], "score_version", 9)
    rows = relate(
        tmp_path / done.name, "error_consistency", rescore=True, benchmarks=["zero_shot/procedural"]
    )
    related = rows[rows["kind"].str.contains("-")]
    assert set(related["kind"]) == {"error_consistency-zero_shot"}
    assert set(related["score_version"]) == {9}


def test_seeds_are_related_at_equal_samples_and_their_mean_has_the_error_of_the_items(done, rows):
    seeds = kappas(rows, revision="epoch-003").set_index("reference")
    assert {"seeds", "seed 11", "seed 12", "arm noise"} <= set(seeds.index), (
        "of another arm only unequal seeds"
    )
    others = [
        error_consistency(right(done, "epoch-003"), right(done, "epoch-003", run.repo_id))["kappa"].value
        for run in RUNS[1:]
    ]
    assert seeds.loc["seeds", "value"] == pytest.approx(np.mean(others), abs=1e-12)
    assert seeds.loc[["seed 11", "seed 12"], "value"].tolist() == pytest.approx(others, abs=1e-12)
    assert seeds.loc["seeds", "ci_low"] < seeds.loc["seeds", "value"] < seeds.loc["seeds", "ci_high"]
    read = load(done).rows
    own = kappas(read[read["repo_id"] == RUNS[1].repo_id])
    assert "arm noise" not in set(own["reference"]), "seed 11 of the other arm shares its seed"


def test_pairs_of_seeds_have_an_interval_over_seeds_and_items(done, rows):
    runs = [right(done, "epoch-003", run.repo_id) for run in RUNS]
    within = [error_consistency(*both)["kappa"].value for both in combinations(runs, 2)]
    found = kappas(rows, revision="epoch-003").set_index("reference")
    assert found.loc["pairs", "value"] == pytest.approx(np.mean(within), abs=1e-12)
    wanted = mean_over_pairs(within, [(10, 11), (10, 12), (11, 12)])
    half = (found.loc["pairs", "ci_high"] - found.loc["pairs", "ci_low"]) / 2
    assert half > wanted["ci"][1] - wanted["value"], "the error of the items comes to that of the seeds"


def test_two_points_of_a_relation_are_compared_by_the_influences_that_were_kept(done):
    name = ["error_consistency-zero_shot/procedural"]
    table = compare_revisions(done, "epoch-000", "epoch-001", name, family="all")
    compared = kappas(table[table["run_a"] == FIRST], reference="last")
    assert len(compared) > 0
    assert (compared["ci_low"] < compared["difference"]).all()


def test_the_numbers_of_a_whole_run_belong_to_its_revisions(done, rows):
    own = rows[(rows["kind"] == "learning_order-zero_shot") & (rows["role"] == "value")]
    table = np.stack([right(done, f"epoch-{at:03d}") for at in range(4)])[None]
    wanted = learning_order(table)
    learned = own[own["metric"] == "learned"].set_index("revision")["value"]
    assert learned.tolist() == pytest.approx(wanted.facts["learned"][0])
    never = own[own["metric"] == "never_learned"]
    assert never["revision"].tolist() == ["epoch-003"]
    assert never["value"].tolist() == pytest.approx([wanted["never_learned"].value])
    assert own["other"].nunique() == 2, "one hash of the run, and one of all runs"
    seeds = own[own["reference"] == "seeds"]
    assert set(seeds["repo_id"]) == {FIRST}
    assert seeds["metric"].tolist() == ["order_of_seeds"]
    assert (seeds["ci_low"] < seeds["value"]).all()


def test_runs_and_trials_that_are_not_there_are_named(output):
    with pytest.raises(EvaluationError, match="me/unknown"):
        relate(output, "error_consistency", repo_id="me/unknown")
    for file in (output.parent / "results.trials").iterdir():
        file.unlink()
    with pytest.raises(EvaluationError, match=r"epoch-00\d of me/.* on noise/procedural"):
        relate(output, "error_consistency")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, store, data):
    """Three random CLIPs with their embeddings; returns the table and a function of relations."""
    output = tmp_path_factory.mktemp("embedded") / "results.parquet"
    given = {"output": output, "show_progress": False}
    evaluate_revisions(
        store, "geometry/cifar10", data_dirs={"cifar10": data["cifar10"]}, device="cpu", **given
    )

    def run(*names, **options):
        return evaluate_revisions(store, relations=names, **given | options).to_pandas()

    return output, run


def test_layers_are_compared_from_the_embeddings_that_were_kept(embedded, monkeypatch):
    output, run = embedded
    monkeypatch.setattr("hf_clipdyn.models.encoder.Encoder.from_folder", None)
    rows = run("representation")  # the name of 0.3
    assert set(rows["kind"]) == {"representation_change-geometry"}
    trials = {}
    for cell in CellStore(output).cells():
        if cell.kind == "geometry":
            table = CellStore(output).trials(cell.key)
            last = table[(table["probe"] == "hidden") & (table["layer"] == 2)]
            trials[cell.revision] = np.stack(last["vector"].to_list()).astype(float)
    wanted = cka(trials["epoch-000"], trials["epoch-002"])["cka_debiased"]
    chosen = rows[(rows["probe"] == "hidden") & (rows["layer"] == 2)]
    first = chosen[chosen["revision"] == "epoch-000"].set_index("reference")
    assert first.loc["last", "value"] == pytest.approx(wanted.value, abs=1e-9)
    assert first.loc["last", "ci_low"] < first.loc["last", "value"] < first.loc["last", "ci_high"]
    layers = rows.fillna({"layer": -1}).groupby(["revision", "reference"])["layer"].apply(list)
    assert set(map(tuple, layers)) == {(-1, 0, 1, 2)}, "in the order of the trials, in every process"


def test_weights_are_read_without_a_model(embedded, monkeypatch, store):
    _, run = embedded
    monkeypatch.setattr("hf_clipdyn.models.encoder.Encoder.from_folder", None)
    rows = run("weights")
    files = sorted(store.glob("revisions/*/model.safetensors"))
    wanted = weight_path([load_file(file) for file in files])[""]
    whole = rows[rows["subset"] == ""].set_index(["metric", "revision"])["value"]
    assert whole["norm"].tolist() == pytest.approx(wanted["norms"])
    assert whole["step"].tolist() == pytest.approx(wanted["steps"])
    assert whole["distance", "epoch-002"] == pytest.approx(wanted["distance"])
    assert {"image", "text", "logit_scale"} <= set(rows["subset"])
    assert set(rows["kind"]) == {"weights"}


def test_a_plug_in_relates_pairs_of_revisions(output, tmp_path, monkeypatch):
    monkeypatch.setattr("hf_clipdyn.plugins._loaded", {})
    (block,) = [one for one in blocks_of(CHECKOUT / "docs" / "how-to" / "add-a-relation.md") if one.file]
    (tmp_path / "agreement.py").write_text(block.text)
    rows = relate(output, "agreement", plugins=tmp_path / "agreement.py")
    same = rows[rows["kind"] == "agreement-zero_shot"].pivot(
        index="revision", columns="reference", values="value"
    )
    assert same["previous"].isna().tolist() == [True, False, False, False]
    assert same["last"].isna().tolist() == [False, False, False, True]
    assert same.loc["epoch-002", "last"] == same.loc["epoch-003", "previous"]


def test_people_are_related_with_each_other_and_with_the_model(golden, tmp_path):
    golden = golden / "results.parquet"
    kept = CellStore(golden)
    cell = next(one for one in kept.cells() if one.kind == "classification" and one.texts == "own")
    table = pq.read_table(golden)
    output = tmp_path / "results.parquet"
    pq.write_table(table.filter(pc.equal(table["kind"], "classification")), output)
    (tmp_path / "results.trials").mkdir()
    shutil.copy(KeptTrials([golden]).file(cell.key), tmp_path / "results.trials")
    rows = relate(output, "error_consistency", repo_id=cell.repo_id)
    kappa = rows[(rows["metric"] == "kappa") & (rows["settings"].str.contains('"with": "people"'))]
    values = kappa[kappa["role"] == "value"]
    people = [one for one in keyed(kinds()["classification"].answers(kept.trials(cell.key))) if one]
    assert set(values["reference"]) <= {"people", *people}
    assert "people" in set(values["reference"])
    assert set(kappa[kappa["role"] == "human"]["reference"]) == {"observers"}
    assert set(values["other"]) == {""}, "people have no commit"
