"""What arms change beside the main arm, and the interval of people's shape bias beside a model's."""

import math

import numpy as np
import pandas as pd
import pytest
from planted import Noise, Planted, Run, constant, write_study

from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.benchmarks.kinds.shape_bias import ShapeBias
from hf_clipdyn.benchmarks.shape_scores import BY_IMAGE, BY_PERSON
from hf_clipdyn.benchmarks.units import scored
from hf_clipdyn.metrics.influence import Influence
from hf_clipdyn.report import read_study
from hf_clipdyn.report.tables import arms_table
from hf_clipdyn.statistics.contrasts import Estimate
from hf_clipdyn.statistics.evidence import with_people
from hf_clipdyn.statistics.verdicts import render

_MAIN = Planted(drop=constant(0.4), bias=constant(0.8), error=constant(0.3), accuracy=constant(0.9))
_NOISE = Planted(drop=constant(0.1), bias=constant(0.8), error=constant(0.5), accuracy=constant(0.9))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three seeds of the main arm and of an arm that lowers the drop by .3 and raises the error by .2; a lonely arm."""
    seeds = (10, 11, 12)
    runs = [Run(scale="tiny", seed=seed, planted=_MAIN) for seed in seeds]
    runs += [Run(scale="tiny", seed=seed, planted=_NOISE, arm="noise") for seed in seeds]
    runs += [Run(scale="tiny", seed=13, planted=_NOISE, arm="lonely")]
    output = tmp_path_factory.mktemp("study") / "results.parquet"
    return read_study(write_study(output, runs, shares=(0.0, 0.15, 1.0), noise=Noise(seed=0.003)))


def _effect(study, metric, window):
    (found,) = [one for one in study.arm_effects if (one.endpoint.metric, one.window) == (metric, window)]
    return found


@pytest.mark.parametrize(
    ("metric", "main", "effect"), [("chance_corrected_drop", 0.4, -0.3), ("log_rmse", 0.3, 0.2)]
)
@pytest.mark.parametrize("window", ["early", "late"])
def test_the_effect_of_an_arm_is_its_mean_minus_that_of_the_same_seeds(study, metric, main, effect, window):
    found = _effect(study, metric, window)
    assert found.main == pytest.approx(main, abs=0.06)
    assert found.effect.value == pytest.approx(effect, abs=0.06)
    assert found.effect.ci_low < found.effect.value < found.effect.ci_high
    assert found.effect.n_seeds == 3


def test_an_arm_without_a_partner_and_a_window_without_a_revision_are_left_out(study):
    assert {one.arm for one in study.arm_effects} == {"noise"}
    assert {one.window for one in study.arm_effects} == {"early", "late"}
    assert all(math.isfinite(one.effect.value) for one in study.arm_effects)


def test_the_terminal_and_the_page_give_the_effect_with_its_interval(study):
    found = _effect(study, "chance_corrected_drop", "late").effect
    text = render(study.verdicts, study.arm_effects)
    assert "Arms minus the main arm, by paired seeds: described, not tested (95 % intervals)" in text
    assert (
        f"    noise  {found.value:+.3f} [{found.ci_low:+.3f}, {found.ci_high:+.3f}]  (3 pairs; main" in text
    )
    table = arms_table(study)
    assert table.headings[0] == "arm"
    (row,) = table.rows
    assert row[0] == "noise"
    assert f"{found.value:.3f} [{found.ci_low:.3f}, {found.ci_high:.3f}] (3 runs)" in row


def test_without_arms_nothing_is_said(study):
    assert "Arms minus" not in render(study.verdicts)


_ESTIMATE = Estimate(value=0.2, ci_low=0.1, ci_high=0.3, standard_error=0.03, degrees_of_freedom=4.0)


def _answers(rng: np.random.Generator, observers: int, exemplars: int = 6) -> pd.DataFrame:
    """Observers who answer the shape as often as they and the image's exemplars make it likely."""
    hard = rng.normal(0, 0.05, size=(2, exemplars))
    rows = []
    for observer in range(observers):
        own = 0.8 + rng.normal(0, 0.05)
        for shape in range(exemplars):
            for texture in range(exemplars):
                says = rng.random() < own + hard[0, shape] + hard[1, texture]
                rows.append((shape * exemplars + texture, f"s{shape}", f"t{texture}", observer, says))
    table = pd.DataFrame(rows, columns=["item", "shape", "texture", "observer", "says"])
    return table.assign(
        protocol="human",
        shape_exemplar=table["shape"],
        texture_exemplar=table["texture"],
        decision=table["shape"].where(table["says"], table["texture"]),
    )


def _influences(answers: pd.DataFrame) -> list[Influence]:
    """What images and persons contribute to the mean of the persons."""
    people = [one for one in scored(ShapeBias, answers, Common()) if one.reference in (BY_IMAGE, BY_PERSON)]
    return [one.influence for one in people if one.influence is not None and one.influence.units is not None]


def test_the_variance_is_that_of_new_images_and_new_observers():
    rng = np.random.default_rng(0)
    tables = [_answers(rng, 8) for _ in range(80)]
    means = [(one["decision"] == one["shape"]).mean() for one in tables]
    found = [_influences(one) for one in tables]
    stated = np.mean([by_image.variance + by_person.variance for by_image, by_person in found])
    assert stated == pytest.approx(np.var(means, ddof=1), rel=0.35)
    assert found[0][1].n_clusters == 8


def test_what_each_person_contributes_has_the_variance_of_a_mean():
    answers = _answers(np.random.default_rng(2), 5)
    own = (answers["decision"] == answers["shape"]).groupby(answers["observer"]).mean()
    _, by_person = _influences(answers)
    assert by_person.variance == pytest.approx(own.var(ddof=1) / 5)
    assert by_person.values.sum() == pytest.approx(0)


def test_an_interval_with_people_is_wider_and_says_when_they_are_left_out():
    answers = _answers(np.random.default_rng(1), 4)
    found = with_people(_ESTIMATE, *_influences(answers))
    assert found.value == _ESTIMATE.value
    assert found.standard_error > _ESTIMATE.standard_error
    assert found.degrees_of_freedom == 3
    assert found.ci_low < 0.1
    assert found.ci_high > 0.3
    for unknown in (answers[answers["observer"] == 0], answers.iloc[:0]):
        assert not _influences(unknown)
    left_out = with_people(_ESTIMATE)
    assert (left_out.ci_low, left_out.ci_high) == (0.1, 0.3)
    assert "does not include the variation between people" in left_out.notes[0]
