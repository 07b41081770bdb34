"""A classifier that was trained on ImageNet gives the numbers that were computed without this package."""

from typing import Any

import pandas as pd
import pytest
from real_weights import save_lite

from hf_clipdyn import evaluate_revisions

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::hf_clipdyn.data.metadata.SubsetWarning")]
BENCHMARKS = ["shape_bias/cue_conflict", "similarity/material_similarity", "representation/objects92"]


@pytest.fixture(scope="module")
def value(real_data, tmp_path_factory):
    """`value("shape_bias", probe="head")`: a number of EfficientNet-Lite0."""
    folders = {
        one: real_data(one.replace("_", "-")) for one in (name.partition("/")[2] for name in BENCHMARKS)
    }
    table = evaluate_revisions(
        save_lite(tmp_path_factory.mktemp("lite0")),
        BENCHMARKS,
        data_dirs=folders,
        device="cpu",
        show_progress=False,
    ).to_pandas()

    def find(metric, **columns):
        wanted: dict[str, Any] = {"metric": metric, "role": "value", "probe": "projection", "subset": ""}
        rows: pd.DataFrame = table[table["layer"].isna()]
        for name, expected in (wanted | columns).items():
            rows = rows[rows[name] == expected]
        (found,) = rows["value"]
        return float(found)

    return find


def test_its_head_decides_for_the_texture_as_networks_do(value):
    assert value("shape_bias", probe="head") == pytest.approx(44 / (44 + 158))
    assert value("cue_accuracy", probe="head") == pytest.approx((44 + 158) / 300)
    assert value("shape_preference") == pytest.approx(0.141, abs=5e-4)


@pytest.mark.parametrize(("number", "expected"), [(1, (0.207, 0.613)), (2, (0.212, 0.630))])
def test_its_larger_siblings_decide_for_the_texture_too(number, expected, real_data, tmp_path):
    table = evaluate_revisions(
        save_lite(tmp_path / "lite", number),
        BENCHMARKS[0],
        data_dirs={"cue_conflict": real_data("cue-conflict")},
        device="cpu",
        show_progress=False,
    ).to_pandas()
    values = table[(table["probe"] == "head") & (table["role"] == "value")].set_index("metric")["value"]
    assert tuple(values[["shape_bias", "cue_accuracy"]]) == pytest.approx(expected, abs=5e-4)


def test_its_features_find_alike_what_people_find_alike(value):
    assert value("two_afc", variant="cosine") == pytest.approx(0.712, abs=5e-4)
    assert value("alignment", variant="correlation") == pytest.approx(0.244, abs=5e-4)
    assert value("alignment", variant="cosine") == pytest.approx(0.234, abs=5e-4)
