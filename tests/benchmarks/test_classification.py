"""Planted observers beside people, and people among themselves as model-vs-human has published them."""

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.benchmarks.kinds.classification import Classification
from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.human_trials import CLASSES, human_accuracies, read_answers

SHADES = 16


def picture(colour, category, number=0):
    """Red tells the class, green the image."""
    return colour(SHADES * CLASSES.index(category), number % 250)


def stimulus(colour, subset, condition, category, number, *answers):
    return {
        "image": picture(colour, category, number),
        "image_id": f"{category}{number}",
        "subset": subset,
        "condition": condition,
        "category": category,
        "exemplar": f"{category}{number}",
        "human_responses": [{"subject": f"s{at}", "response": answer} for at, answer in enumerate(answers)],
    }


@pytest.fixture
def people(colour):
    """Five images of each class as edges, silhouettes and at three contrasts; the second observer errs in a third."""
    places = [("edge", "0"), ("silhouette", "0"), *(("contrast", one) for one in ("c100", "c30", "c05"))]
    rows = []
    for offset, place in enumerate(places):
        for index, name in enumerate(CLASSES):
            for number in range(5):
                said = (name if right else CLASSES[index - 1] for right in (number, (number + offset) % 3))
                rows.append(stimulus(colour, *place, name, number, *said))
    return rows


def one_hot(index):
    return np.eye(len(CLASSES))[index]


def text(prompt):
    """The class that a prompt names; the names of ImageNet's classes contain few of the 16."""
    return one_hot(next((index for index, name in enumerate(CLASSES) if name in prompt), 0))


def seen(pixels):
    return round(pixels[..., 0].mean() / SHADES)


@pytest.fixture
def judged(source, people):
    return source("classification", people)


def test_a_perfect_observer_is_right_everywhere_and_its_kappa_says_nothing(judged, measure, planted):
    found = measure(Classification, judged, planted(lambda p: one_hot(seen(p)), text))
    for subset in ("edge", "silhouette", "contrast"):
        place = {"subset": subset, "condition": ""}
        assert found("accuracy", **place).value == 1
        kappa = found("error_consistency", **place)
        assert (kappa.value, kappa.interpretable) == (0, False)
        assert "no range" in kappa.note
        assert found("accuracy", role="null", **place).value == pytest.approx(1 / 16)
        ends = [found("error_consistency", role=f"{end}_bound", **place).value for end in ("lower", "upper")]
        assert ends == pytest.approx([0, 0]), "an observer without errors leaves kappa no range"
    assert found("accuracy", subset="contrast", condition="contrast", level=0.3).value == 1
    assert found("accuracy", role="chance", probe="", condition="").value == 1 / 16
    level = {"subset": "contrast", "role": "human", "probe": "", "reference": "observers"}
    by_level = [found("accuracy", condition="contrast", level=one, **level) for one in (1.0, 0.3, 0.05)]
    assert [one.n for one in by_level] == [80] * 3
    whole = found("accuracy", condition="", **level)
    assert whole.n == 160, "the undegraded condition is left out of the summary"
    assert whole.value == pytest.approx(np.mean([one.value for one in by_level[1:]]))


def test_an_observer_who_errs_as_the_first_person_does_has_a_kappa_of_one_with_that_person(
    judged, measure, planted
):
    def as_first(pixels):
        index = seen(pixels)
        return one_hot(index if round(pixels[..., 1].mean()) else index - 1)

    found = measure(Classification, judged, planted(as_first, text))
    place = {"subset": "edge", "condition": ""}
    assert found("accuracy", **place).value == 0.8
    # With the second person it has what the first one has.
    between = found("error_consistency", role="human", probe="", reference="observers", **place)
    kappa = found("error_consistency", **place)
    assert kappa.value == pytest.approx((1 + between.value) / 2)
    assert kappa.interpretable is True
    assert kappa.n_clusters == 80
    assert kappa.ci_low < kappa.value <= kappa.ci_high


def test_edges_and_silhouettes_are_compared_object_by_object(source, colour, measure, planted):
    rows = [
        stimulus(colour, subset, "0", name, number, name)
        for subset, numbers in (("edge", range(4)), ("silhouette", range(1, 6)))
        for name in CLASSES
        for number in numbers
    ]
    for row in rows:  # green also tells the set
        row["image"] = picture(
            colour, row["category"], int(row["image_id"][-1]) + 100 * (row["subset"] == "edge")
        )

    def only_edges_but_the_first(pixels):
        return one_hot(seen(pixels) if round(pixels[..., 1].mean()) > 101 else 0)

    found = measure(Classification, source("classification", rows), planted(only_edges_but_the_first, text))
    gap = found("accuracy_gap", subset="edge and silhouette", condition="")
    # Objects 1 to 3 are in both; of these edges 2 and 3 are right, beside 1/16 by chance elsewhere.
    assert gap.value == pytest.approx((2 / 3) * (15 / 16))
    assert gap.n_clusters == 48
    place = {"subset": "edge and silhouette", "condition": "", "probe": ""}
    human = found("accuracy_gap", role="human", reference="observers", **place)
    assert human.value == 0


def test_without_trials_there_are_accuracies_and_nothing_about_people(source, people, measure, planted):
    rows = [row | {"human_responses": []} for row in people]
    found = measure(Classification, source("classification", rows), planted(lambda p: one_hot(seen(p)), text))
    assert {one.metric for one in found} == {"accuracy", "accuracy_gap"}
    assert not [one for one in found if one.role == "human"]


# --- the trials of people ------------------------------------------------------------------------------------


def trials_of(folder):
    """All trials of people in a folder, as the kind has them."""
    rows = [
        vars(one.stimulus) | {"category": one.category, "observer": one.observer, "decision": one.response}
        for one in read_answers(FileIndex.below(folder))
    ]
    table = pd.DataFrame(rows).assign(protocol="human")
    numbered = table.groupby(["subset", "condition", "image_id"], sort=False).ngroup()
    return table.assign(item=numbered, exemplar=table["image_id"])


def between_people(trials):
    """Metric and subset, over the conditions that the summary counts."""
    found = Classification.score(trials)
    return {(one.metric, one.subset): one.value for one, _ in found if one.condition == ""}


def test_people_among_themselves_are_as_published(real_data):
    found = between_people(trials_of(real_data("model-vs-human-trials")))
    summary = ("accuracy", "accuracy_difference", "error_consistency")
    assert [round(found[metric, ""], 4) for metric in summary] == [0.7228, 0.0066, 0.4312]
    rows = {
        "colour": (0.8867, 0.4154),
        "false-colour": (0.8737, 0.4440),
        "power-equalisation": (0.7589, 0.5106),
        "rotation": (0.8299, 0.4385),
        "contrast": (0.6609, 0.4370),
        "uniform-noise": (0.6828, 0.4341),
        "low-pass": (0.6613, 0.4689),
        "high-pass": (0.6289, 0.4401),
        "phase-scrambling": (0.6879, 0.4467),
        "eidolonI": (0.6075, 0.3863),
        "eidolonII": (0.5828, 0.4540),
        "eidolonIII": (0.6391, 0.4595),
        "sketch": (0.9163, 0.3696),
        "stylized": (0.4713, 0.5006),
        "edge": (0.8712, 0.3184),
        "silhouette": (0.7531, 0.4757),
        "cue-conflict": (0.7755, 0.3311),
    }
    assert {one.dataset for one in human_accuracies()} == set(rows)
    for subset, expected in rows.items():
        # The fourth digit of .66125 is a matter of rounding.
        assert [found["accuracy", subset], found["error_consistency", subset]] == pytest.approx(
            expected, abs=5.1e-5
        )
