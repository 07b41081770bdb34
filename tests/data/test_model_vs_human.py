"""model-vs-human: one loader for all of its layouts, and the table of people's accuracies."""

import shutil

import pandas as pd
import pytest
from official_trees.images import write_image
from official_trees.labelled import model_vs_human, write_trials

from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.human_trials import human_accuracies, read_answers
from hf_clipdyn.data.load import find_locally


@pytest.fixture
def rows(load):
    """The rows of a folder by subset, condition and image."""

    def read(root):
        dataset = load("model_vs_human", data_dir=root, split="test").remove_columns("image")
        return {(row["subset"], row["condition"], row["image_id"]): row for row in dataset}

    return read


# By data set, condition and image: its class, and what the two observers answered.
OFFICIAL = {
    ("edge", "0", "cat1"): ("cat", ["cat", "dog"]),
    ("edge", "0", "cat10"): ("cat", []),
    ("edge", "0", "dog2"): ("dog", ["na", "dog"]),
    # The same photograph was shown in another condition, and nobody's answer moves there.
    ("low-pass", "0", "n02123045_7"): ("cat", []),
    ("low-pass", "3", "n02123045_8"): ("cat", ["cat", "dog"]),
    ("low-pass", "3", "n02099601_9"): ("dog", []),
    ("uniform-noise", "0.90", "n02123045_7"): ("cat", ["cat", "dog"]),
    ("uniform-noise", "0.03", "n02099601_9"): ("dog", ["na", "dog"]),
}


def test_both_layouts_give_class_and_condition_and_trials_join_however_numbers_are_spelt(rows, tree):
    found = rows(tree("model_vs_human"))
    answers = {key: [one["response"] for one in row["human_responses"]] for key, row in found.items()}
    assert {key: (row["category"], answers[key]) for key, row in found.items()} == OFFICIAL
    assert list(found) == list(OFFICIAL)
    assert [row["exemplar"] for row in found.values()] == [image for _, _, image in found]


def test_edges_silhouettes_and_cue_conflicts_of_one_object_share_its_exemplar(rows, tmp_path):
    root = tmp_path / "mine"
    for path in ("edge/cat/cat7", "silhouette/cat/cat7", "cue-conflict/cat/cat7-oven2", "sketch/x/y"):
        name = "0001_ske_dnn_0_cat_00_cat-7-sketch" if path.startswith("sketch") else path.rpartition("/")[2]
        write_image((root / path).with_name(f"{name}.png"))
    exemplars = {key: row["exemplar"] for key, row in rows(root).items()}
    assert exemplars == {
        ("cue-conflict", "0", "cat7-oven2"): "cat7",
        ("edge", "0", "cat7"): "cat7",
        ("silhouette", "0", "cat7"): "cat7",
        ("sketch", "0", "cat-7-sketch"): "cat-7-sketch",
    }


def test_the_older_names_of_the_folders_are_known_and_networks_are_no_people(rows, tmp_path):
    root = tmp_path / "texture-vs-shape"
    write_image(root / "stimuli" / "filled-silhouettes" / "cat" / "cat7.png")
    write_image(root / "stimuli" / "figures" / "overview.png")
    path = write_trials(root, "silhouette-filled-experiment", "01", [("0", "cat", "cat", "00_cat7")])
    path.with_name("silhouette-filled-experiment_alexnet_session_1.csv").write_text("no table\n")
    instructed = "style-transfer-512-nomask-texture-guessing-experiment"
    write_trials(root, instructed, "01", [("0", "cat", "oven", "00_cat7-oven1")])
    (row,) = rows(root).values()
    assert (row["subset"], row["human_responses"]) == (
        "silhouette",
        [{"subject": "subject-01", "response": "cat"}],
    )


@pytest.mark.parametrize(
    ("dataset", "beside"),
    [
        ("cue_conflict", "cue_conflict-official-human-trials"),
        ("cue_conflict", "model-vs-human-trials"),
        ("model_vs_human", "model_vs_human-official-trials"),
    ],
)
def test_trials_are_read_from_the_folder_beside(dataset, beside, load, tree):
    root = tree(dataset)
    inside = load(dataset, data_dir=root, split="test")["human_responses"][:]
    (root / "raw-data").rename(root.with_name(beside))
    assert load(dataset, data_dir=root, split="test")["human_responses"][:] == inside
    assert any(inside)


def test_the_table_of_people_is_that_of_all_their_trials(real_data):
    files = FileIndex.below(real_data("model-vs-human-trials"))
    trials = pd.DataFrame(
        vars(one.stimulus) | {"observer": one.observer, "right": one.response == one.category}
        for one in read_answers(files)
    )
    assert len(trials) == 85_120
    by_condition = dict(list(trials.groupby(["subset", "condition"])))
    assert set(by_condition) == {(one.dataset, one.condition) for one in human_accuracies()}
    for one in human_accuracies():
        rows = by_condition[one.dataset, one.condition]
        assert rows["right"].mean() == pytest.approx(one.accuracy, abs=5.1e-5)
        assert (rows["observer"].nunique(), rows["image_id"].nunique()) == (one.observers, one.images)


def test_the_real_edges_and_silhouettes_have_the_answers_of_ten_people(rows, real_data):
    found = rows(real_data("geirhos-controls"))
    table = pd.DataFrame([key[:1] for key in found], columns=["subset"])
    assert table["subset"].value_counts().to_dict() == {"edge": 80, "silhouette": 80}
    assert {len(row["human_responses"]) for row in found.values()} == {10}
    assert len({row["exemplar"] for row in found.values()}) == 80


def test_a_folder_is_found_by_its_name_or_that_of_the_controls(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPDYN_DATA", str(tmp_path))
    model_vs_human(tmp_path / "geirhos-controls")
    shutil.copytree(tmp_path / "geirhos-controls" / "raw-data", tmp_path / "model-vs-human-trials")
    assert find_locally("model_vs_human") == tmp_path / "geirhos-controls"
    shutil.copytree(tmp_path / "geirhos-controls", tmp_path / "model-vs-human")
    assert find_locally("model_vs_human") == tmp_path / "model-vs-human"
