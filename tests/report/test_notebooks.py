"""Matrices of people and revisions as pictures, from a real table with its trials."""

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.benchmarks.kinds.representation import Representation
from hf_clipdyn.errors import EvaluationError, UnknownNameError
from hf_clipdyn.report import notebooks
from hf_clipdyn.report.notebooks import plot_dissimilarities

N = 6


@pytest.fixture
def trials(monkeypatch):
    """Two revisions; people and the first revision rank the pairs alike."""
    first, second = np.triu_indices(N, 1)
    values = np.arange(len(first), dtype=float)

    def rows(probe, name, distance, value):
        return pd.DataFrame(
            {
                "item": first,
                "partner": second,
                "category": np.array(list("aaabbb"))[first],
                "partner_category": np.array(list("aaabbb"))[second],
                "probe": probe,
                "name": name,
                "layer": pd.array([3 if probe == "hidden" else None] * len(first), dtype="Int64"),
                "distance": distance,
                "value": value,
            }
        )[list(Representation.trial_columns)]

    def of(value):
        people = [rows("person", f"person_{at}", "", values**at) for at in (1, 2)]
        return pd.concat(
            [*people, rows("projection", "", "cosine", value), rows("hidden", "", "cosine", -value)]
        )

    held = {"epoch-001": of(values), "epoch-002": of(values[::-1])}
    monkeypatch.setattr(notebooks, "_trials", lambda results, dataset: held)
    return held


def drawn(figure):
    return {
        cell.get_title(loc="left"): np.asarray(cell.images[0].get_array())
        for cell in figure.axes
        if cell.images
    }


@pytest.mark.usefixtures("trials")
def test_each_matrix_is_drawn_as_percentiles_of_its_own_values():
    found = drawn(plot_dissimilarities("results.parquet"))
    assert list(found) == ["people", "epoch-001", "epoch-002"]
    upper = np.triu_indices(N, 1)
    assert found["people"][upper] == pytest.approx(100 * (np.arange(15) + 0.5) / 15)
    assert found["epoch-001"][upper] == pytest.approx(found["people"][upper])
    assert found["epoch-002"][upper] == pytest.approx(found["people"][upper][::-1])
    hidden = drawn(plot_dissimilarities("results.parquet", ["epoch-001"], layer=3))
    assert hidden["epoch-001"][upper] == pytest.approx(found["epoch-002"][upper])


@pytest.mark.usefixtures("trials")
@pytest.mark.parametrize(
    ("revisions", "keywords", "says"),
    [
        (["epoch-009"], {}, "no revision in the results 'epoch-009'"),
        (None, {"distance": "manhattan"}, "no distance"),
        (None, {"layer": 12}, "no layer"),
    ],
)
def test_what_was_not_measured_is_one_sentence(revisions, keywords, says):
    with pytest.raises(UnknownNameError, match=says):
        plot_dissimilarities("results.parquet", revisions, **keywords)


def test_a_table_without_trials_is_one_sentence(tmp_path):
    with pytest.raises(EvaluationError, match="no trials of representation/objects92"):
        plot_dissimilarities(tmp_path / "results.parquet")
