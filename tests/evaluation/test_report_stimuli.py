"""The stimuli of a report, from evaluations of three small random models."""

import base64
import io
import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from result_rows import trials_of

from hf_clipdyn.data.metadata import SubsetWarning
from hf_clipdyn.data.sets.cifar import Cifar10
from hf_clipdyn.report.page.stimuli import payload
from hf_clipdyn.report.study import read_study

BENCHMARKS = (
    "jnd/bapps",
    "noise/cifar10",
    "quality/tid2013",
    "retrieval/flickr8k",
    "saliency/osie",
    "shape_bias/cue_conflict",
    "similarity/nights",
    "zero_shot/cifar10",
)


@pytest.fixture(scope="module")
def output(tmp_path_factory, store, data, judged):
    """The table of one evaluation of all these benchmarks; not to be changed."""
    from hf_clipdyn.evaluation import evaluate_revisions

    output = tmp_path_factory.mktemp("stimuli") / "results.parquet"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SubsetWarning)
        evaluate_revisions(
            store,
            benchmarks=BENCHMARKS,
            data_dirs=data | judged,
            show_progress=False,
            device="cpu",
            output=output,
        )
    return output


@pytest.fixture(scope="module")
def dirs(data, judged):
    """Folders of the data sets, by name."""
    return data | judged


@pytest.fixture(scope="module")
def parts(output, dirs):
    """What the page has of all benchmarks, made while no image can go through a model."""
    from hf_clipdyn.models.encoder import Encoder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Encoder, "show_images", None)
        return payload(read_study(output), data_dirs=dirs)


@pytest.fixture
def study_of(output):
    """`study_of("zero_shot/cifar10")`: the study of some of the benchmarks."""

    def only(*benchmarks):
        study = read_study(output)
        rows = study.results.rows
        names = rows["kind"].astype(str) + "/" + rows["dataset"].astype(str)
        wanted = rows[names.isin(benchmarks)]
        return replace(study, results=study.results.with_rows(wanted))

    return only


def _answers(part, run="me/run", way=0):
    """Texts (stimuli, revisions) of what is answered."""
    held = part["runs"][run]
    codes = held["answers"][way]
    shape = len(part["items"]["id"]), len(held["revisions"])
    if isinstance(codes, list):
        return np.array(codes, float).reshape(shape)
    said = [part["said"][ord(letter) - ord("0")]["words"] for letter in codes]
    return np.array([words.split(" (")[0] for words in said]).reshape(shape)


def _ways(part):
    return next(list(options.values()) for key, _, options in part["choices"] if key == "way")


def _sheet(part):
    head, _, data = part["sheet"]["uri"].partition(",")
    assert head in ("data:image/webp;base64", "data:image/png;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), float)


def _picture(part, item, at=0):
    x, y, width, height = part["sheet"]["boxes"][part["items"]["pictures"][item][at]]
    return _sheet(part)[y : y + height, x : x + width]


def test_cue_conflict_has_both_cues_and_the_decision_of_every_revision(parts, output):
    part = parts["shape_bias/cue_conflict"]
    trials = trials_of(output, "shape_bias/cue_conflict")
    asked = trials[trials["protocol"] == ""].pivot(index="item", columns="revision", values="decision")
    items = part["items"]
    assert part["runs"]["me/run"]["revisions"] == ["epoch-000", "epoch-001", "epoch-002"]
    assert np.array_equal(_answers(part), asked.loc[items["id"]].to_numpy())
    shown = trials.drop_duplicates("item").set_index("item").loc[items["id"]]
    words = [f"shape {one.shape}, texture {one.texture}" for one in shown.itertuples()]
    assert [facts[0] for facts in items["facts"]] == words
    assert (part["shown"], part["total"], part["why"]) == (36, 36, "")
    assert _ways(part)[0] == "prompts"


def test_pictures_are_those_that_were_shown(parts, output, data):
    part = parts["shape_bias/cue_conflict"]
    trials = trials_of(output, "shape_bias/cue_conflict").drop_duplicates("item").set_index("item")
    files = {file.stem: file for file in data["cue_conflict"].rglob("*.png")}
    for place, item in enumerate(part["items"]["id"]):
        with Image.open(files[trials.loc[item, "image_id"]]) as image:
            original = np.asarray(image.convert("RGB"), float)
        assert np.abs(_picture(part, place) - original).mean() < 12, "compressed, but this image"


def test_a_licence_that_forbids_passing_on_leaves_the_pictures_out_and_says_so(parts, output):
    part = parts["zero_shot/cifar10"]
    assert part["sheet"] is None
    assert part["why"] == "The licence of CIFAR-10 (none stated) does not allow its images to be passed on."
    trials = trials_of(output, "zero_shot/cifar10")
    first = trials.assign(first=trials["ranking"].str[0]).pivot(
        index="item", columns="revision", values="first"
    )
    wanted = np.array(Cifar10.classes)[first.loc[part["items"]["id"]].to_numpy(int)]
    assert np.array_equal(_answers(part), wanted)


@pytest.mark.parametrize(
    ("folder", "why"),
    [(None, "--data_dir cue_conflict=FOLDER"), ("nowhere", "cannot be read"), ("changed", "are not those")],
)
def test_pictures_that_are_not_here_or_not_those_are_left_out_and_no_path_is_told(
    study_of, data, tmp_path, monkeypatch, folder, why
):
    monkeypatch.delenv("CLIPDYN_DATA", raising=False)
    if folder == "changed":
        shutil.copytree(data["cue_conflict"], tmp_path / folder)
        next((tmp_path / folder).rglob("airplane*.png")).unlink()
    given = {} if folder is None else {"cue_conflict": tmp_path / folder}
    part = payload(study_of("shape_bias/cue_conflict"), data_dirs=given)["shape_bias/cue_conflict"]
    assert part["sheet"] is None
    assert why in part["why"]
    assert str(tmp_path) not in json.dumps(part)


def test_triplets_have_the_choice_of_people_and_of_each_revision(parts, output):
    part = parts["similarity/nights"]
    trials = trials_of(output, "similarity/nights")
    placed = trials[(trials["probe"] == "projection") & (trials["distance"] == "cosine")]
    nearer = np.where(placed["value_1"] < placed["value_0"], "B", "A")
    wanted = placed.assign(choice=nearer).pivot(index="item", columns="revision", values="choice")
    assert part["pictures"] == ["reference", "A", "B"]
    assert np.array_equal(_answers(part), wanted.loc[part["items"]["id"]].to_numpy())
    votes = trials.drop_duplicates("item").set_index("item")["judgement"].loc[part["items"]["id"]]
    said = [[fact for fact in facts if "choice" in fact] for facts in part["items"]["facts"]]
    wanted = [[] if one == 0.5 else ["AB"[int(one > 0.5)]] for one in votes]
    assert [[fact.split(": ")[1][0] for fact in facts] for facts in said] == wanted
    assert len(part["sheet"]["boxes"]) >= 3


def test_pairs_have_the_place_of_the_distance_beside_that_of_peoples_score(parts, output):
    part = parts["quality/tid2013"]
    trials = trials_of(output, "quality/tid2013")
    last = trials[(trials["revision"] == "epoch-002") & (trials["probe"] == "projection")]
    last = last[last["distance"] == "cosine"].set_index("item").loc[part["items"]["id"]]
    places = (last["value"].rank() - 1) / (len(last) - 1)
    assert _answers(part)[:, 2] == pytest.approx(places.to_numpy(), abs=6e-4)
    worse = ((-last["score"]).rank() - 1) / (len(last) - 1)
    assert part["items"]["people"] == pytest.approx(worse.to_list(), abs=6e-4)
    assert "does not allow its images" in part["why"]


def test_saliency_keeps_small_maps_with_the_trials_and_shows_them_beside_peoples(parts, output):
    part = parts["saliency/osie"]
    trials = trials_of(output, "saliency/osie")
    assert trials["map"].dropna().map(len).unique().tolist() == [192]
    raw = trials[trials["map"].notna()]
    assert set(raw["probe"]) == {"attention", "rollout", "human"}
    assert not raw["smoothed"].any()
    assert part["items"]["peopleMap"] is not None
    maps = part["runs"]["me/run"]["maps"][_ways(part).index("attention")]
    assert maps["columns"] == [0, 1, 2]
    _, _, data = maps["uri"].partition(",")
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"), float)
    for place, item in enumerate(part["items"]["id"]):
        kept = raw[(raw["item"] == item) & (raw["probe"] == "attention")].set_index("revision")["map"]
        for column, name in enumerate(part["runs"]["me/run"]["revisions"]):
            x, y, width, height = maps["boxes"][place]
            x += column * maps["step"]
            tile = 255 * (sheet[y : y + height, x : x + width] / 255) ** (1 / 0.7)
            assert np.abs(tile - np.frombuffer(kept[name], np.uint8).reshape(12, 16)).mean() < 12


def test_the_budget_holds_whatever_it_is(study_of, parts, dirs):
    study = study_of("noise/cifar10", "shape_bias/cue_conflict", "saliency/osie")
    for most in (12_000, 200):
        found = payload(study, data_dirs=dirs, most_bytes=most) or {}
        assert len(json.dumps(found, separators=(",", ":"))) <= most
        assert len(found) == (3 if most > 1000 else 0)
        assert (
            sum(part["shown"] for part in found.values()) < sum(parts[name]["shown"] for name in found)
            or not found
        )
        for name, part in found.items():
            assert 0 < part["shown"] <= parts[name]["shown"]
            assert len(part["items"]["id"]) == part["shown"]
