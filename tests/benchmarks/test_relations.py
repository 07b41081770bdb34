"""Relations of a whole run, on planted trials."""

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.benchmarks.base import Common
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.benchmarks.relation import Seen, keyed
from hf_clipdyn.benchmarks.relations.critical_bands import CriticalBands
from hf_clipdyn.benchmarks.relations.cue_learning import CueLearning
from hf_clipdyn.benchmarks.relations.turns import Turns
from hf_clipdyn.metrics.shape_bias import answer_shares
from hf_clipdyn.results.row import Cell

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
        lambda _, make, own: make(own),
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


OCTAVES = np.log2(np.array(SAMPLES[1:]) / 100)


def turned(fall):
    """Three seeds that rise until 400 samples and fall by so much an octave after it, with small waves."""
    wave = 0.004 * (-1) ** np.arange(10)
    rise = 0.2 + 0.15 * np.minimum(OCTAVES, 2) - fall * np.maximum(OCTAVES - 2, 0)
    runs = accuracies([np.r_[0.1, rise + sign * wave] for sign in (1, -1, 0.5)])
    found = by_key(Turns.over_seeds(runs, COMMON))
    return {key[0]: one for key, one in found.items()}


@pytest.mark.parametrize("fall", [0.1, 0.0])
def test_the_break_is_found_in_all_seeds(fall):
    found = turned(fall)
    assert found["break"].value == pytest.approx(np.log2(400), abs=0.2)
    assert found["break"].ci_low <= found["break"].value <= found["break"].ci_high
    assert found["slope_change"].value == pytest.approx(-0.15 - fall, abs=0.05)
    assert found["same_sign"].value == 1
    assert found["break"].variant == "top1"


def test_an_inverted_u_is_a_rise_and_a_fall_around_the_peak_of_the_other_seeds():
    found = turned(0.1)
    assert found["inverted_u"].value == 1
    assert found["rise"].value == pytest.approx(0.15, abs=0.02)
    assert found["fall"].value == pytest.approx(-0.1, abs=0.02)
    assert "at an end of training" in turned(-0.05)["inverted_u"].note


def test_seeds_are_compared_with_steps():
    steps = np.random.default_rng(0).normal(0.5, 0.02, (4, 11))
    alike, apart = (
        by_key(Turns.over_seeds(accuracies(steps + shift), COMMON))[
            "seed_to_step_variance", "value", "projection", "seeds", -1
        ].value
        for shift in (0.0, 0.05 * np.arange(4)[:, None])
    )
    assert 0.5 < alike < 2
    assert apart > 5


def test_few_revisions_have_no_turn():
    runs = accuracies([[0.1, 0.2, 0.3]] * 2, samples=(0, 100, 200))
    assert by_key(Turns.over_seeds(runs, COMMON))["break", "value", "projection", "seeds", -1].note


def masked(tolerated, levels=(0.0, 0.02, 0.04, 0.08, 0.16), clean=0.9):
    """Noise trials of 200 images in four classes: each octave halves what is above chance at its tolerated noise."""
    label, blocks = np.arange(200) % 4, []
    for condition, level, half in [("none", 0.0, 1.0)] + [
        (name, level, half) for name, half in tolerated.items() for level in levels
    ]:
        share = np.clip(0.5 - np.log2(max(level, 1e-6) / half) / 8, 0, 1) if level else 1.0
        accuracy = 0.25 + (clean - 0.25) * share
        right = np.arange(200) < 200 * accuracy
        rows = {"item": np.arange(200), "label": label, "decision": np.where(right, label, (label + 1) % 4)}
        blocks.append(pd.DataFrame(rows | {"condition": condition, "level": level, "n_classes": 4}))
    return pd.concat(blocks, ignore_index=True)


def channel(trials, common=COMMON, role="value"):
    run = [seen("noise", trials, one) for one in SAMPLES[:2]]
    numbers = [one for one in CriticalBands.trace(run, common) if one.at == run[0].cell.revision]
    return {(one.metric, one.condition): one for one in numbers if one.role == role}


def test_the_channel_of_noise_in_octaves_is_recovered():
    sensitivity = 2.5 * np.exp(-((np.arange(5) - 2) ** 2) / 2)
    tolerated = {f"octave_{at}": 0.16 / 2**one for at, one in enumerate(sensitivity)}
    found = channel(masked(tolerated))
    for name, value in tolerated.items():
        one = found["tolerated_noise", name]
        assert one.value == pytest.approx(value, rel=0.1)
        assert one.ci_low <= one.value <= one.ci_high
    assert found["bracketed", ""].value == 5
    assert found["bandwidth", ""].value == pytest.approx(2 * np.sqrt(2 * np.log(2)), rel=0.15)
    assert found["centre", ""].value == pytest.approx(7, rel=0.1)


def test_thresholds_outside_the_levels_are_censored():
    found = channel(masked({"octave_0": 10.0, "octave_1": 0.001, "octave_2": 0.05}))
    assert "loudest" in found["tolerated_noise", "octave_0"].note
    assert "softest" in found["tolerated_noise", "octave_1"].note
    assert found["tolerated_noise", "octave_2"].value == pytest.approx(0.05, rel=0.1)
    assert "3 are required" in found["bandwidth", ""].note
    assert (
        "above chance" in channel(masked({"octave_2": 0.05}, clean=0.25))["tolerated_noise", "octave_2"].note
    )


def test_people_and_networks_are_beside_the_octaves_if_the_user_has_their_tables(monkeypatch, real_data):
    monkeypatch.delenv("CLIPDYN_DATA", raising=False)
    trials = masked({"octave_2": 0.05, "octave_3": 0.05, "octave_4": 0.05, "octave_5": 0.05})
    assert not channel(trials, role="human")
    monkeypatch.setenv("CLIPDYN_DATA", str(real_data("critical-band").parent))
    people, networks = channel(trials, role="human"), channel(trials, role="baseline")
    octaves = ["octave_2", "octave_3", "octave_4"]
    assert [name for _, name in people if name] == [name for _, name in networks if name] == octaves
    assert people["tolerated_noise", "octave_3"].value == pytest.approx(0.058, abs=0.0005)
    assert people["tolerated_noise", "octave_4"].value == pytest.approx(0.045, abs=0.0005)
    assert "loudest level" in people["tolerated_noise", "octave_2"].note
    assert "only 2 bands" in people["bandwidth", ""].note
    median = networks["tolerated_noise", "octave_3"]
    assert (median.value, median.n) == (pytest.approx(0.0241, abs=0.0001), 83), "two networks see nothing"
    assert networks["bandwidth", ""].value == pytest.approx(3.905, abs=0.001)


def test_octaves_need_the_same_levels_and_neighbours():
    rows = masked({"octave_0": 0.05, "octave_1": 0.05, "octave_2": 0.05})
    odd = rows[~((rows["condition"] == "octave_1") & (rows["level"] == 0.04))]
    assert channel(odd)["bandwidth", ""].note == "the octaves have different levels"
    gap = masked({"octave_0": 0.05, "octave_2": 0.05, "octave_3": 0.06})
    assert "was not shown" in channel(gap)["centre", ""].note
    assert not channel(rows[rows["condition"] == "none"]), "noise without octaves has no channel"
    without = rows[(rows["level"] > 0) | (rows["condition"] == "none")]
    assert channel(without)["tolerated_noise", "octave_0"].value == pytest.approx(0.05, rel=0.1)
