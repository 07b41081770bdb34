"""Relations of a whole run, on planted trials."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.benchmarks.registry import kinds, relation_named
from hf_clipdyn.benchmarks.relation import Seen, keyed
from hf_clipdyn.benchmarks.relations.cue_learning import CueLearning
from hf_clipdyn.benchmarks.relations.error_consistency import ErrorConsistency
from hf_clipdyn.benchmarks.relations.learning_order import LearningOrder
from hf_clipdyn.benchmarks.relations.representation_change import RepresentationChange
from hf_clipdyn.benchmarks.units import scored
from hf_clipdyn.metrics.cka import cka
from hf_clipdyn.metrics.error_consistency import error_consistency
from hf_clipdyn.metrics.scores import interval, over
from hf_clipdyn.results.row import Cell

SAMPLES = (0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000)
NAMES = np.array(["bear", "bird", "boat", "bottle"])


class Saved:
    """The trials of one revision, without files."""

    def __init__(self, kind, trials):
        self._kind, self._trials = kinds()[kind], trials

    def trials(self, _, columns):
        return self._trials if columns is None else self._trials.reindex(columns=list(columns))

    def answers(self, _):
        return keyed(self._kind.answers(self._trials))

    def numbers(self, _):
        return scored(self._kind, self._trials, Common(show_progress=False))


def seen(kind, trials, samples, seed=0):
    """What a relation reads of a revision."""
    cell = Cell(
        repo_id=f"me/seed{seed}",
        revision=f"step-{samples:08d}",
        commit="",
        samples_seen=samples,
        seed=seed,
        kind=kind,
        dataset="planted",
        split="",
        data_fingerprint="",
        observe_version=1,
        score_version=1,
        preprocess="",
        dtype="float32",
        texts="own",
    )
    return Seen(cell, Saved(kind, trials))


def ends(found):
    """The interval of a number without crossed clusters."""
    number, scale = found
    return interval(number.value, over(number.influence.to_numpy()), scale)


def by_key(numbers):
    """The numbers by metric, role, probe, reference and the samples of their revision."""
    return {
        (one.metric, one.role, one.probe, one.reference, int(one.at[5:] or -1) if one.at else -1): one
        for one, _ in numbers
    }


def conflicts(answered, decoded, rng=None):
    """Conflict images, of which the first share is answered with the shape, and the shape of another is decoded."""
    shape, texture, copy = (one.reshape(-1) for one in np.mgrid[:4, :4, :10])
    apart = shape != texture
    shape, texture, copy = shape[apart], texture[apart], copy[apart]
    place = copy / 10
    images = pd.DataFrame(
        {
            "item": np.arange(len(shape)),
            "shape": NAMES[shape],
            "texture": NAMES[texture],
            "shape_exemplar": [f"{NAMES[at]}{one % 3}" for at, one in zip(shape, copy, strict=True)],
            "texture_exemplar": [f"{NAMES[at]}{one % 2}" for at, one in zip(texture, copy, strict=True)],
        }
    )
    other = NAMES[[next(c for c in range(4) if c not in pair) for pair in zip(shape, texture, strict=True)]]
    decision = np.where(place < answered, NAMES[shape], np.where(place < 0.9, NAMES[texture], other))
    probed = np.where(place < decoded, NAMES[shape], other)
    return pd.concat(
        [
            images.assign(protocol="", decision=decision),
            images.assign(protocol="crossed_probe", cue="shape", decision=probed),
            images.assign(protocol="human", observer="s1", decision=NAMES[shape]),
        ],
        ignore_index=True,
    )


def learner(answers_at, decoded_at, seed=0):
    """A run whose answers and probes for the shape rise from .1 to .8, halfway at these samples."""
    rise = [np.interp(SAMPLES, [0, 200, at, 900], [0.1, 0.1, 0.45, 0.8]) for at in (answers_at, decoded_at)]
    return [
        seen("shape_bias", conflicts(np.round(a, 1), np.round(d, 1)), one, seed)
        for one, a, d in zip(SAMPLES, *rise, strict=True)
    ]


def test_shares_of_answers_have_the_chance_of_the_class_prior():
    run = learner(500, 500)
    found = by_key(CueLearning.trace(run, 0))
    trials = conflicts(0.8, 0.8)
    asked = trials[trials["protocol"] == ""]
    hits = {cue: (asked["decision"] == asked[cue]).to_numpy() for cue in ("shape", "texture")}
    hits["other"] = ~(hits["shape"] | hits["texture"])
    rng = np.random.default_rng(0)
    shuffled = [rng.permutation(asked["decision"]) for _ in range(500)]
    by_chance = {cue: np.mean([one == asked[cue] for one in shuffled]) for cue in ("shape", "texture")}
    by_chance["other"] = 1 - sum(by_chance.values())
    for name, hit in hits.items():
        one = found[f"{name}_share", "value", "projection", "", 1000]
        assert one.value == hit.mean()
        assert one.influence.to_dict() == dict(zip(asked["item"], (hit - hit.mean()) / len(hit), strict=True))
        chance = found[f"{name}_share", "chance", "projection", "", 1000]
        assert chance.value == pytest.approx(by_chance[name], abs=0.005)
    assert found["shape_share", "human", "projection", "observers", 0].value == 1
    assert found["unclassified_share", "value", "projection", "", 0].value == 0


def test_grey_images_and_the_preference_on_all_images_are_not_among_the_answers():
    """A study that also asks in grey, and about the classes that no caption names, has the same shares and leads."""
    wanted = by_key(CueLearning.trace(learner(500, 500), 0))
    run = []
    for one in learner(500, 500):
        trials = one.trials(None)
        asked = trials[trials["protocol"] == ""]
        grey = trials[trials["protocol"] != "human"].assign(condition="grey", decision=NAMES[0])
        others = [
            asked.assign(protocol=name, decision=asked["texture"]) for name in ("text_free", "text_free_all")
        ]
        more = pd.concat([trials, grey, *others], ignore_index=True)
        run.append(seen("shape_bias", more, one.cell.samples_seen))
    found = by_key(CueLearning.trace(run, 0))
    assert found.keys() == wanted.keys()
    for key, number in wanted.items():
        assert found[key].value == pytest.approx(number.value, nan_ok=True), key


@pytest.mark.parametrize(("answers_at", "decoded_at", "sign"), [(800, 300, 1), (300, 800, -1), (500, 500, 0)])
def test_the_lead_says_whether_representation_or_decision_comes_first(answers_at, decoded_at, sign):
    runs = [learner(answers_at, decoded_at, seed) for seed in (0, 1)]
    found = by_key(CueLearning.trace(runs[0], 0))
    lead = found["shape_lead", "value", "projection", "", -1]
    assert np.sign(lead.value) == sign
    halves = [
        found["shape_half_rise", "value", probe, "", -1].value for probe in ("projection", "linear_probe")
    ]
    assert lead.value == pytest.approx(halves[0] - halves[1])
    assert abs(lead.value) > 0.8 or not sign
    (mean,) = CueLearning.over_seeds(runs, 0)
    assert (mean[0].value, mean[0].n, mean[0].reference) == (pytest.approx(lead.value), 2, "seeds")
    assert ends(mean) == pytest.approx([lead.value] * 2), "both seeds have the same lead"


def test_answers_that_never_rise_have_no_half_rise():
    run = [seen("shape_bias", conflicts(0.5, 0.5), one) for one in SAMPLES]
    found = by_key(CueLearning.trace(run, 0))
    assert "does not rise" in found["shape_half_rise", "value", "projection", "", -1].note
    ((mean, _),) = CueLearning.over_seeds([run, run], 0)
    assert mean.note == "it is defined in 0 of 2 seeds"
    few = CueLearning.trace([run[0], run[-1]], 0)
    assert "no revision at 10 to 20 %" in by_key(few)["shape_lead", "value", "projection", "", -1].note


def judged(effect, seed=0, n=400):
    """A run on images in ten classes that 50 people judged, which learns their easy images first, last, or neither."""
    rng, people = np.random.default_rng([8, seed]), np.random.default_rng(7)
    label, ease = np.arange(n) % 10, people.random(n)
    right = people.binomial(50, 0.4 + 0.55 * ease)
    counts = np.zeros((n, 10), np.int64)
    counts[np.arange(n), label] = right
    counts[np.arange(n), (label + 1) % 10] = 50 - right
    order = effect * ease + 0.5 * rng.random(n)
    revisions = []
    for at, samples in enumerate(SAMPLES):
        learned = np.argsort(np.argsort(-order)) < n * at / len(SAMPLES)
        decision = np.where(learned, label, (label + 3) % 10)
        rows = {"item": np.arange(n), "label": label, "counts": list(counts)}
        rows |= {"cosines": list(np.eye(10)[decision]), "pixels": -1, "protocol": "", "logit_scale": 10.0}
        revisions.append(seen("label_distribution", pd.DataFrame(rows), samples, seed))
    return revisions


@pytest.mark.parametrize("effect", [1, 0, -1], ids=["present", "absent", "reversed"])
def test_the_order_of_learning_is_compared_with_what_people_find_easy(effect):
    run = judged(effect)
    found = {
        one.metric: (one, scale) for one, scale in LearningOrder.trace(run, 0) if one.reference == "people"
    }
    low, high = ends(found["order_of_people_within"])
    assert low > 0 if effect > 0 else high < 0 if effect < 0 else low < 0 < high
    within, people = (found[name][0] for name in ("order_of_people_within", "order_of_people"))
    assert people.value == pytest.approx(within.value, abs=0.1)
    assert (within.influence.index.name, len(within.influence)) == ("block", 100)
    trials = run[0].trials()
    shares = np.stack(trials["counts"].to_list())[np.arange(400), trials["label"]] / 50
    accessible = np.mean([one.answers[next(iter(one.answers))].right for one in run], axis=0)
    assert people.value == pytest.approx(stats.spearmanr(accessible, shares)[0])


def test_people_who_answered_one_by_one_have_an_order_of_difficulty():
    rng, names = np.random.default_rng(0), np.array(["airplane", "bear", "bird", "boat"])
    label, ease = np.arange(200) % 4, 0.5 + 0.5 * rng.random(200)
    images = {"item": np.arange(200), "subset": "edge", "category": names[label]}
    images |= {"exemplar": np.arange(200).astype(str), "condition": None, "level": np.nan}
    rows = pd.concat(
        pd.DataFrame(
            images
            | {
                "protocol": "human" if name else "",
                "observer": name or None,
                "decision": np.where(rng.random(200) < ease, names[label], names[(label + 1) % 4]),
            }
        )
        for name in ("", "s1", "s2", "s3", "s4")
    )
    run = [seen("classification", rows, one) for one in SAMPLES[:2]]
    found = {one.metric: one for one, _ in LearningOrder.trace(run, 0) if one.reference == "people"}
    assert found["order_of_people"].value > 0.1


def test_two_revisions_are_related_on_the_items_that_both_have():
    run = learner(400, 300)
    first, last = run[3], run[-1]
    found = by_key(ErrorConsistency.relate(first, last, 0))
    for key, answers in first.answers.items():
        theirs = last.answers[key]
        items, *at = np.intersect1d(answers.item, theirs.item, return_indices=True)
        wanted = error_consistency(answers.right[at[0]], theirs.right[at[1]])
        one = next(
            one
            for one in found.values()
            if (one.metric, one.role, one.probe, one.variant) == ("kappa", "value", key.probe, key.variant)
        )
        assert (one.value, one.n) == (pytest.approx(wanted["kappa"].value, nan_ok=True), len(items))
        if one.influence is not None:
            assert one.influence.index.tolist() == items.tolist()
            assert one.influence.to_numpy() == pytest.approx(wanted["kappa"].influence)
    trials = first.trials()
    fewer = seen("shape_bias", trials[trials["item"] != 5], 300)
    part = by_key(ErrorConsistency.relate(fewer, last, 0))
    assert {one.n for one in part.values()} <= {one.n - 1 for one in found.values()} | {0, 1}


def layered(samples, n=60):
    """A revision with the embedding as layer 0, and two layers."""
    blocks = []
    for depth, vectors in enumerate(np.random.default_rng(samples).normal(size=(3, n, 8))):
        rows = {"item": np.arange(n), "probe": "hidden", "layer": depth}
        rows["vector"] = list(vectors.astype(np.float16))
        blocks.append(pd.DataFrame(rows).assign(is_caption=False))
    return seen("geometry", pd.concat(blocks), samples)


def test_a_layer_has_the_similarity_of_the_images_that_both_revisions_have():
    first, second = layered(0), layered(100)
    fewer = seen("geometry", second.trials().query("item != 5"), second.cell.samples_seen)
    found = {one.layer: one for one, _ in RepresentationChange.relate(first, fewer, 0)}
    assert list(found) == [0, 1, 2]  # in the order of the trials, in every process
    items = np.delete(np.arange(60), 5)
    for layer, one in found.items():
        vectors = [
            np.stack(side.trials().query(f"layer == {layer}")["vector"].to_list())[items].astype(float)
            for side in (first, second)
        ]
        wanted = cka(*vectors)["cka_debiased"]
        assert (one.value, one.n) == (pytest.approx(wanted.value, abs=1e-12), 59)
        assert one.influence.to_dict() == pytest.approx(dict(zip(items, wanted.influence, strict=True)))


def test_the_relation_has_also_the_name_of_0_3_and_its_cells_have_their_key():
    assert relation_named("representation") is relation_named("representation_change") is RepresentationChange
    cell = layered(0).cell
    names = ("representation-geometry", "representation_change-geometry", "representation")
    now, former, kind = (replace(cell, kind=name).key for name in names)
    assert now == former != kind
