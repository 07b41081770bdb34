"""Relations of a whole run, on planted trials."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hf_clipdyn.benchmarks.base import Common
from hf_clipdyn.benchmarks.registry import kinds, kinds_read, relations
from hf_clipdyn.benchmarks.relation import Relation, Seen, keyed, relation_terms
from hf_clipdyn.benchmarks.relations.cue_learning import CueLearning
from hf_clipdyn.benchmarks.relations.error_consistency import ErrorConsistency
from hf_clipdyn.benchmarks.relations.learning_order import LearningOrder
from hf_clipdyn.benchmarks.relations.representation import Representation
from hf_clipdyn.metrics.influence import mean_over_pairs
from hf_clipdyn.metrics.learning_order import answer_agreement, rank_agreement, trivial_and_impossible
from hf_clipdyn.metrics.representation import representation_similarity
from hf_clipdyn.metrics.shape_bias import answer_shares
from hf_clipdyn.results.row import Cell
from hf_clipdyn.results.terms import KindTerms

COMMON = Common(show_progress=False)
SAMPLES = (0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000)
NAMES = np.array(["bear", "bird", "boat", "bottle"])


def seen(kind, trials, samples, seed=0):
    """What a relation reads of a revision, without files."""
    declared = kinds()[kind]
    trials = trials.reindex(columns=list(declared.trial_columns)).astype(declared.trial_columns)
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
    return Seen(
        cell,
        lambda _, columns: trials if columns is None else trials[list(columns)],
        lambda _: keyed(declared.answers(trials)),
        lambda _: {},
        lambda _: declared.score(trials, COMMON),
        lambda make, seen: make(*seen),
    )


def by_key(numbers):
    """The numbers by metric, role, probe, reference and the samples of their revision."""
    return {
        (one.metric, one.role, one.probe, one.reference, int(one.at[5:] or -1) if one.at else -1): one
        for one in numbers
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


def test_shares_of_answers_are_simultaneous_and_have_the_chance_of_the_class_prior():
    run = learner(500, 500)
    found = by_key(CueLearning.trace(run, COMMON))
    trials = conflicts(0.8, 0.8)
    asked = trials[trials["protocol"] == ""]
    columns = ("decision", "shape", "texture", "shape_exemplar", "texture_exemplar")
    given = [asked[name].to_list() for name in columns]
    wanted = answer_shares(*given[:3], shape_exemplars=given[3], texture_exemplars=given[4])
    for name in ("shape", "texture", "other"):
        one = found[f"{name}_share", "value", "projection", "", 1000]
        assert one.value == wanted[name]
        assert [one.ci_low, one.ci_high] == wanted[f"{name}_ci"]
        assert one.influence.sum() == pytest.approx(0, abs=1e-12)
        chance = found[f"{name}_share", "chance", "projection", "", 1000]
        assert chance.value == pytest.approx(wanted[f"{name}_chance"])
    assert found["shape_share", "human", "projection", "observers", 0].value == 1
    assert found["unclassified_share", "value", "projection", "", 0].value == 0


def test_grey_images_and_the_preference_on_all_images_are_not_among_the_answers():
    """A study that also asks in grey, and about the classes that no caption names, has the same shares and leads."""
    wanted = by_key(CueLearning.trace(learner(500, 500), COMMON))
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
    found = by_key(CueLearning.trace(run, COMMON))
    assert found.keys() == wanted.keys()
    for key, number in wanted.items():
        assert found[key].value == pytest.approx(number.value, nan_ok=True), key


@pytest.mark.parametrize(("answers_at", "decoded_at", "sign"), [(800, 300, 1), (300, 800, -1), (500, 500, 0)])
def test_the_lead_says_whether_representation_or_decision_comes_first(answers_at, decoded_at, sign):
    runs = [learner(answers_at, decoded_at, seed) for seed in (0, 1)]
    found = by_key(CueLearning.trace(runs[0], COMMON))
    lead = found["shape_lead", "value", "projection", "", -1]
    assert np.sign(lead.value) == sign
    halves = [
        found["shape_half_rise", "value", probe, "", -1].value for probe in ("projection", "linear_probe")
    ]
    assert lead.value == pytest.approx(halves[0] - halves[1])
    assert abs(lead.value) > 0.8 or not sign
    (over,) = CueLearning.over_seeds(runs, COMMON)
    assert (over.value, over.n, over.reference) == (pytest.approx(lead.value), 2, "seeds")
    assert over.ci_low == over.ci_high == pytest.approx(lead.value)


def test_answers_that_never_rise_have_no_half_rise():
    run = [seen("shape_bias", conflicts(0.5, 0.5), one) for one in SAMPLES]
    found = by_key(CueLearning.trace(run, COMMON))
    assert "does not rise" in found["shape_half_rise", "value", "projection", "", -1].note
    (over,) = CueLearning.over_seeds([run, run], COMMON)
    assert over.note == "it is defined in 0 of 2 seeds"
    few = CueLearning.trace([run[0], run[-1]], COMMON)
    assert "no revision at 10 to 20 %" in by_key(few)["shape_lead", "value", "projection", "", -1].note


def accuracies(curves, samples=SAMPLES):
    """Runs whose zero-shot accuracy on 1,000 images is the curve."""
    label = np.arange(1000) % 4

    def trials(share):
        best = np.where(np.arange(1000) < 1000 * share, label, (label + 1) % 4)
        rows = {"item": np.arange(1000), "label": label, "ranking": list(best[:, None]), "n_classes": 4}
        return pd.DataFrame(rows)

    return [
        [seen("zero_shot", trials(share), one, seed) for one, share in zip(samples, curve, strict=True)]
        for seed, curve in enumerate(curves)
    ]


def judged(effect, seed=0, n=400, *, by_pixels=False):
    """A run on images in ten classes that 50 people judged, which learns their easy images first, last, or neither.

    ``by_pixels``: run and people share only that images are easy that a pixel model has right.
    """
    rng = np.random.default_rng([8, seed])
    people = np.random.default_rng(7)
    label, ease, simple = np.arange(n) % 10, people.random(n), people.random(n) < 0.5
    shared = simple if by_pixels else ease
    right = people.binomial(50, 0.4 + 0.55 * ((ease + simple) / 2 if by_pixels else ease))
    counts = np.zeros((n, 10), np.int64)
    counts[np.arange(n), label] = right
    counts[np.arange(n), (label + 1) % 10] = 50 - right
    order = effect * shared + 0.5 * rng.random(n)
    revisions = []
    for at, samples in enumerate(SAMPLES):
        learned = np.argsort(np.argsort(-order)) < n * at / len(SAMPLES)
        decision = np.where(learned, label, (label + 3) % 10)
        rows = {
            "item": np.arange(n),
            "label": label,
            "counts": list(counts),
            "cosines": list(np.eye(10)[decision]),
            "pixels": np.where(simple, label, (label + 5) % 10),
        }
        rows |= {"protocol": "", "logit_scale": 10 + samples / 100}
        revisions.append(seen("label_distribution", pd.DataFrame(rows), samples, seed))
    return revisions


@pytest.mark.parametrize("effect", [1, 0, -1], ids=["present", "absent", "reversed"])
def test_the_order_of_learning_is_compared_with_what_people_find_easy(effect):
    run = judged(effect)
    found = {one.metric: one for one in LearningOrder.trace(run, COMMON) if one.reference == "people"}
    within = found["order_of_people_within"]
    assert (
        within.ci_low > 0
        if effect > 0
        else within.ci_high < 0
        if effect < 0
        else within.ci_low < 0 < within.ci_high
    )
    assert found["order_of_people"].value == pytest.approx(within.value, abs=0.1)
    error = np.sqrt(np.square(within.influence).sum()) / (
        1 - within.value**2
    )  # of arctanh, in the first order
    width = np.arctanh(within.ci_high) - np.arctanh(within.value)
    assert width == pytest.approx(stats.t.ppf(0.975, len(within.influence) - 1) * error, rel=0.02)
    ratio = found["order_of_people_within_corrected"].influence / within.influence
    assert ratio.to_numpy() == pytest.approx(
        found["order_of_people_within_corrected"].value / within.value, rel=1e-9
    )
    trials = run[0].trials()
    counts = np.stack(trials["counts"].to_list())
    accessible = np.mean([one.answers[next(iter(one.answers))].right for one in run], axis=0)
    people = counts[np.arange(len(counts)), trials["label"]] / 50
    agreement = answer_agreement(counts)
    for name, values in {
        "people": people,
        "agreement": agreement["agreement"],
        "entropy": agreement["entropy_corrected"],
    }.items():
        wanted = rank_agreement(accessible, values)["spearman"]
        assert found[f"order_of_{name}"].value == pytest.approx(wanted)
        corrected = found[f"order_of_{name}_corrected"].value
        assert 1 <= corrected / wanted < 1.15, "50 people are reliable"
    assert np.sign(found["order_of_entropy"].value) == -effect or not effect


@pytest.mark.parametrize(
    ("effect", "by_pixels"), [(1, False), (0, False), (1, True)], ids=["present", "absent", "by pixels"]
)
def test_an_order_that_pixels_explain_is_told_apart(effect, by_pixels):
    run = judged(effect, by_pixels=by_pixels)
    found = {one.metric: one for one in LearningOrder.trace(run, COMMON)}
    within, given = found["order_of_people_within"], found["order_of_people_given_pixels"]
    assert (within.ci_low > 0) == bool(effect)
    assert (given.ci_low > 0) == (effect > 0 and not by_pixels)
    assert given.n == 400
    rows = run[0].trials()
    people = np.stack(rows["counts"].to_list())[np.arange(400), rows["label"]] / 50
    accessible = np.mean([one.answers[next(iter(one.answers))].right for one in run], axis=0)
    wanted = rank_agreement(
        accessible, people, groups=rows["label"], given=np.float64(rows["pixels"] == rows["label"])
    )
    assert (given.value, [given.ci_low, given.ci_high]) == (wanted["spearman"], wanted["spearman_ci"])


def test_trials_without_a_pixel_model_say_so_and_those_of_one_revision_are_enough():
    run = judged(1)

    def of_given(run):
        return next(one for one in LearningOrder.trace(run, COMMON) if one.metric.endswith("given_pixels"))

    old = [
        seen("label_distribution", one.trials().assign(pixels=-1), samples)
        for one, samples in zip(run, SAMPLES, strict=True)
    ]
    assert "no answers of a pixel model" in of_given(old).note
    assert np.isnan(of_given(old).value)
    assert of_given([*old[:-1], run[-1]]).value == of_given(run).value
    without = run[0].trials().drop(columns="pixels")
    (answers,) = kinds()["label_distribution"].answers(without)
    assert set(answers.by_pixels) == {-1}, "trials of an earlier version"


def test_answers_to_equal_items_are_compared_at_once_and_others_one_by_one():
    """Two revisions of one run have the same arrays; without one item, each number has its own."""
    run = learner(400, 300)
    first, last = run[3], run[-1]
    at_once = by_key(ErrorConsistency.relate(first, replaced(last, first), COMMON))
    one_by_one = by_key(ErrorConsistency.relate(first, last, COMMON))
    assert at_once.keys() == one_by_one.keys()
    for key, expected in one_by_one.items():
        found = at_once[key]
        assert (found.value, found.n, found.note) == (
            pytest.approx(expected.value, nan_ok=True),
            expected.n,
            expected.note,
        )
        assert (found.influence is None) == (expected.influence is None)
        if found.influence is not None:
            assert found.influence.to_numpy() == pytest.approx(expected.influence.to_numpy(), abs=1e-15)


def replaced(one, other):
    """A revision whose items and labels are the arrays of another one."""
    theirs = other.answers
    known = {
        key: replace(own, item=theirs[key].item, label=theirs[key].label) for key, own in one.answers.items()
    }
    return replace(one, read_answers=lambda _: {"": known})


def test_margins_are_related_where_all_scores_are_known():
    early, late = judged(1)[4], judged(1)[8]
    (found,) = (
        one for one in ErrorConsistency.relate(early, late, COMMON) if one.metric == "margin_consistency"
    )
    margins = [next(iter(one.answers.values())).margin for one in (early, late)]
    assert found.value == pytest.approx(np.corrcoef(*margins)[0, 1])
    assert found.influence.sum() == pytest.approx(0, abs=1e-12)
    runs = accuracies([[0.2, 0.4]], samples=(0, 100))
    assert "margin_consistency" not in {one.metric for one in ErrorConsistency.relate(*runs[0], COMMON)}


def test_the_map_of_items_has_one_temperature_for_all_revisions():
    run = judged(1)
    found = {one.metric: one for one in LearningOrder.trace(run, COMMON)}
    cosines, label = (
        np.stack([np.stack(one.trials()["cosines"].to_list()) for one in run]),
        run[0].trials()["label"],
    )
    shares = np.exp(20 * cosines) / np.exp(20 * cosines).sum(axis=2, keepdims=True)
    of_label = shares[:, np.arange(len(label)), label]
    assert found["confidence"].value == pytest.approx(of_label.mean())
    assert found["variability"].value == pytest.approx(of_label.std(axis=0).mean())
    assert found["variability"].influence.sum() == pytest.approx(0, abs=1e-12)
    without = LearningOrder.trace(accuracies([[0.2, 0.4]], samples=(0, 100))[0], COMMON)
    assert "confidence" not in {one.metric for one in without}


def test_people_who_answered_one_by_one_have_an_accuracy_an_agreement_and_an_entropy():
    rng, names = np.random.default_rng(0), np.array(["airplane", "bear", "bird", "boat"])
    label, ease = np.arange(200) % 4, 0.5 + 0.5 * rng.random(200)
    images = {
        "item": np.arange(200),
        "subset": "edge",
        "category": names[label],
        "exemplar": np.arange(200).astype(str),
    }
    answers = [(name, ease) for name in ("", "s1", "s2", "s3", "s4")]
    rows = pd.concat(
        pd.DataFrame(
            images
            | {
                "protocol": "human" if name else "",
                "observer": name or None,
                "decision": np.where(rng.random(200) < of, names[label], names[(label + 1) % 4]),
            }
        )
        for name, of in answers
    )
    run = [seen("classification", rows, one) for one in SAMPLES[:2]]
    found = {one.metric: one for one in LearningOrder.trace(run, COMMON) if one.reference == "people"}
    assert found["order_of_people"].value > 0.1 > -0.1 > found["order_of_entropy"].value
    assert found["order_of_agreement_corrected"].value > found["order_of_agreement"].value


def test_pixels_are_beside_the_layers():
    run = layered(3, pixels=True)
    found = [one for one in Representation.trace(run, COMMON) if one.metric == "cka_pixels"]
    assert len(found) == 3 * len(run)
    first, last = ({one.layer: one for one in found if one.at == run[at].cell.revision} for at in (0, -1))
    assert first[0].value > 0.9, "layer 0 begins with the pixels"
    for one in (first[1], last[0], last[1]):
        error = np.sqrt(np.square(one.influence).sum())
        assert abs(one.value) < 4 * error, "the others are independent of them"
    rows = run[0].trials()
    vectors = [
        np.stack(rows[rows["probe"] == "pixels"]["vector"].to_list()),
        np.stack(rows[(rows["probe"] == "hidden") & (rows["layer"] == 0)]["vector"].to_list()),
    ]
    wanted = representation_similarity(*(one.astype(float) for one in vectors), n_resamples=0)
    assert first[0].value == pytest.approx(wanted["cka_debiased"])
    assert {one.probe for one in Representation.relate(run[0], run[-1], COMMON)} == {"hidden"}
    without = Representation.trace(layered(3), COMMON)
    assert "cka_pixels" not in {one.metric for one in without}, "trials of an earlier version"


def test_items_that_all_seeds_but_one_know_are_trivial():
    curves = np.linspace([0.3, 0.35, 0.4, 0.5], 0.9, len(SAMPLES), axis=1)
    runs = accuracies(curves)
    found = [one for one in LearningOrder.over_seeds(runs, COMMON) if one.metric in ("trivial", "impossible")]
    wanted = trivial_and_impossible(
        np.stack([run[3].answers[next(iter(run[3].answers))].right for run in runs])
    )
    at = {(one.metric, one.role): one.value for one in found if one.at == runs[0][3].cell.revision}
    for name in ("trivial", "impossible"):
        assert at[name, "value"] == pytest.approx(wanted[name])
        assert at[name, "chance"] == pytest.approx(wanted[f"{name}_null"])
    assert not [one for one in LearningOrder.over_seeds(runs[:2], COMMON) if one.metric == "trivial"]


def layered(seed, late=(200, 600), n=60, *, pixels=False):
    """A run whose two layers reach their last state at these samples, with the embedding as layer 0.

    ``pixels``: before training, layer 0 is the pixels, turned.
    """
    rng = np.random.default_rng(seed)
    ends = rng.normal(size=(3, 2, n, 8))
    run = []
    for samples in SAMPLES:
        blocks = []
        for depth, (start, end) in enumerate(ends):
            share = min(samples / (100, *late)[depth], 1.0)
            noise = 0.1 * (samples < SAMPLES[-1]) * rng.normal(size=(n, 8))
            vectors = ((1 - share) * start + share * end + noise).astype(np.float16)
            rows = {"item": np.arange(n), "probe": "hidden", "layer": depth, "vector": list(vectors)}
            blocks.append(pd.DataFrame(rows).assign(is_caption=False))
        if pixels:
            shown = (ends[0, 0] @ np.linalg.qr(np.arange(64.0).reshape(8, 8) ** 0.5)[0]).astype(np.float16)
            blocks.append(blocks[0].assign(probe="pixels", layer=None, vector=list(shown)))
        run.append(seen("geometry", pd.concat(blocks), samples, seed))
    return run


@pytest.mark.parametrize("n", [3, 11])
def test_few_images_have_no_similarity(n):
    first, second, *_ = layered(0, n=n)
    found = list(Representation.relate(first, second, COMMON))
    assert {one.note for one in found} == {f"they have {n} images in common"}
    assert {one.metric for one in Representation.trace([first, second], COMMON)} <= {"mean_progress"}


def test_only_images_that_both_revisions_have_are_compared():
    first, second, *_ = layered(0)
    fewer = [
        replace(one, read=lambda _, columns, own=one: own.trials(columns).query("item != 5"))
        for one in (first, second)
    ]
    found, expected = (
        {(one.metric, one.layer, one.role): one for one in Representation.relate(a, b, COMMON)}
        for a, b in ((first, fewer[1]), fewer)
    )
    assert found.keys() == expected.keys()
    for key, one in expected.items():
        assert found[key].value == pytest.approx(one.value, abs=1e-12)
        assert found[key].n == one.n == 59
        if one.influence is not None:
            assert found[key].influence.to_dict() == pytest.approx(one.influence.to_dict(), abs=1e-12)
    assert not [
        one for one in Representation.trace([first, second, fewer[1]], COMMON) if one.metric == "progress"
    ]


def test_the_progress_of_a_layer_has_the_jackknife_of_both_similarities():
    run = layered(0)
    found = {
        (one.layer, one.at): one for one in Representation.trace(run, COMMON) if one.metric == "progress"
    }
    at = found[2, run[4].cell.revision]
    vectors = [
        np.stack(one.trials().query("layer == 2")["vector"].to_list()).astype(float)
        for one in (run[0], run[4], run[-1])
    ]

    def computed(kept):
        first, middle = (
            representation_similarity(one[kept], vectors[-1][kept], n_resamples=0)["cka_debiased"]
            for one in vectors[:2]
        )
        return (middle - first) / (1 - first)

    assert at.value == pytest.approx(computed(np.arange(60)))
    left_out = np.array([computed(np.delete(np.arange(60), k)) for k in range(60)])
    assert at.influence.to_numpy() == pytest.approx((left_out.mean() - left_out) * (1 - 1 / 60), abs=2e-3)
    ends = [found[2, run[at].cell.revision] for at in (0, -1)]
    assert [one.value for one in ends] == [0, pytest.approx(1)]
    assert all(abs(one.influence).max() < 1e-9 for one in ends), "they are 0 and 1 by definition"


@pytest.mark.parametrize(("late", "sign"), [((200, 800), 1), ((800, 200), -1)])
def test_the_lower_layer_that_settles_earlier_is_named_over_seeds(late, sign):
    runs = [layered(seed, late) for seed in (0, 1, 2)]
    over = {one.variant: one for one in Representation.over_seeds(runs, COMMON)}
    for variant in ("", "angular"):
        assert np.sign([over[variant].ci_low, over[variant].ci_high]).tolist() == [sign, sign]
    own = {(one.metric, one.variant, one.layer): one for one in Representation.trace(runs[0], COMMON)}
    lower, upper = (own["mean_progress", "", layer] for layer in (1, 2))
    contrast = own["lower_minus_upper", "", None]
    assert contrast.value == pytest.approx(lower.value - upper.value)
    assert contrast.influence.to_numpy() == pytest.approx((lower.influence - upper.influence).to_numpy())
    assert np.sqrt(np.square(contrast.influence).sum()) < abs(contrast.value), "60 images tell the order"
    trained = {one.metric: one for one in Representation.trace(runs[0][1:], COMMON)}
    assert "no untrained revision" in trained["lower_minus_upper"].note


def test_the_order_of_seeds_has_an_interval_over_seeds_and_items():
    runs = [judged(1, seed) for seed in (1, 2, 3)]
    (found,) = (one for one in LearningOrder.over_seeds(runs, COMMON) if one.metric == "order_of_seeds")
    order = [np.mean([next(iter(one.answers.values())).right for one in run], axis=0) for run in runs]
    pairs = [(0, 1), (0, 2), (1, 2)]
    values = [rank_agreement(order[a], order[b])["spearman"] for a, b in pairs]
    of_seeds = mean_over_pairs(values, pairs)
    assert found.value == pytest.approx(of_seeds["value"])
    assert found.ci_high - found.value > of_seeds["ci"][1] - of_seeds["value"]


def test_every_relation_asks_a_question_of_its_own_and_keeps_the_title_of_the_kind_that_it_reads():
    questions = [relation.terms.question for relation in relations().values()]
    assert len(set(questions)) == len(questions)
    assert all(question.endswith("?") for question in questions)
    for relation in relations().values():
        for kind in kinds_read(relation).values():
            assert relation_terms(relation, kind.terms).of == kind.terms.title

    class Own(Relation):
        name = "own"
        terms = KindTerms(title="Own", terms={})

    assert relation_terms(Own, None).question == "Own"
