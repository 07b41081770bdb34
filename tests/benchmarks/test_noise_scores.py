"""What images contribute to the error of noise numbers, against leaving each of them out and a bootstrap."""

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.benchmarks.kinds.noise import Noise
from hf_clipdyn.benchmarks.units import influences, scored
from hf_clipdyn.metrics.influence import weighted_sum

N = 120
LEVELS = {"none": (0.0,), "gaussian": (0.1, 0.2), "contrast": (0.5, 0.1), "grey": (np.nan,)}


def noise_trials(seed=0, accuracy=0.8):
    """Hard images fail first, so the decisions of an image go together."""
    rng = np.random.default_rng(seed)
    labels, ease = np.arange(N) % 10, rng.random(N)
    blocks = []
    for strength, (condition, level) in enumerate((c, one) for c in LEVELS for one in LEVELS[c]):
        right = ease + 0.2 * rng.random(N) < accuracy - 0.1 * strength
        probed = np.where(rng.random(N) < 0.7, labels, (labels + 1) % 10)
        block = {
            "item": np.arange(N),
            "label": labels,
            "condition": condition,
            "level": level,
            "decision": np.where(right, labels, (labels + 3) % 10),
            "probe_decision": pd.array(np.where(np.arange(N) == 3, -1, probed), "Int64"),
            "n_classes": 10,
            "human_accuracy": 0.9,
        }
        blocks.append(pd.DataFrame(block))
    return pd.concat(blocks, ignore_index=True)


def values(trials):
    return {one.number_key: one.value for one, _ in Noise.score(trials)}


def found_in(trials):
    return influences(Noise, trials, scored(Noise, trials, Common()))


def test_every_number_has_influences_that_leaving_an_image_out_confirms():
    trials = noise_trials()
    whole = values(trials)
    numbers = [one for one, _ in Noise.score(trials) if one.role == "value"]
    found = {one.number_key: one.influence for one in numbers}
    shown = range(0, N, 8)
    left_out = pd.DataFrame([values(trials[trials["item"] != item]) for item in shown])
    for key, influence in found.items():
        if np.isnan(whole[key]):
            assert influence is None
            continue
        assert influence.sum() == pytest.approx(0, abs=1e-9), key
        some = influence.reindex(shown, fill_value=0.0)
        jackknife = ((whole[key] - left_out[key]) * (N - 1) / N).to_numpy()
        assert some.to_numpy() == pytest.approx(jackknife, rel=0.06, abs=0.02 / N), key


def test_the_variance_of_a_mean_drop_is_that_of_a_bootstrap_over_images():
    trials = noise_trials()
    keys = [
        one.number_key
        for one, _ in Noise.score(trials)
        if (one.metric, one.condition, one.probe) == ("chance_corrected_drop", "gaussian", "projection")
    ]
    assert len(keys) == 2
    errors = found_in(trials)
    found = weighted_sum([errors[key] for key in keys], [0.5, 0.5])
    assert found.n_clusters == N
    right = (trials["decision"] == trials["label"]).to_numpy(float)[: 3 * N].reshape(3, N)
    drawn = np.random.default_rng(1).multinomial(N, np.ones(N) / N, 20_000)
    clean, *noisy = (drawn @ right.T / N).T
    drops = [(clean - one) / (clean - 0.1) for one in noisy]
    assert found.variance == pytest.approx(np.var(np.mean(drops, axis=0)), rel=0.06)
