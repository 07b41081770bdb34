"""Values that were published for a model: the protocol against another implementation of it, and the marks."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats
from slow_evaluator import Slow

_found: Any = spec_from_file_location("parity", Path(__file__).parents[2] / "scripts" / "parity.py")
script: Any = module_from_spec(_found)
sys.modules["parity"] = script  # where its dataclass looks for its module
_found.loader.exec_module(script)
mark, parity = script.mark, script.parity


def distances(layer, first, second):
    """The three distances of the protocol, one pair after the other."""
    flat = layer.reshape(len(layer), -1)
    squares = [
        ((layer[a] - layer[b]) ** 2).reshape(-1, layer.shape[-1]).mean(0)
        for a, b in zip(first, second, strict=True)
    ]
    unit = np.mean(squares, axis=0)
    lengths = np.linalg.norm(flat, axis=1)
    return {
        "normalised_euclidean": np.array([np.sqrt((one / unit).mean()) for one in squares]),
        "euclidean": np.array(
            [np.sqrt(((flat[a] - flat[b]) ** 2).mean()) for a, b in zip(first, second, strict=True)]
        ),
        "cosine": np.array(
            [1 - flat[a] @ flat[b] / lengths[a] / lengths[b] for a, b in zip(first, second, strict=True)]
        ),
    }


def published_tid(store, root):
    """The values of the last revision on this tree, as the source computed those of its models."""
    lines = [line.split() for line in (root / "mos_with_names.txt").read_text().splitlines()]
    scores, names = [float(score) for score, _ in lines], [name for _, name in lines]
    references = sorted((root / "reference_images").iterdir())
    paths = [*references, *(root / "distorted_images" / name for name in names)]
    first = [int(name[1:3]) - 1 for name in names]
    second = [len(references) + number for number in range(len(names))]
    rows = []
    slow = Slow(store, "epoch-002")
    states = [slow.states(Image.open(path).convert("RGB")) for path in paths]
    projection, *hidden = (np.stack(layer) for layer in zip(*states, strict=True))
    for name, layer in [*enumerate(hidden), ("projection", projection)]:
        for distance, values in distances(layer, first, second).items():
            found = {"spearman": stats.spearmanr(values, scores).statistic}
            if distance != "normalised_euclidean":
                found["pearson"] = stats.pearsonr(values, scores).statistic
            for metric, value in found.items():
                row = {"model": "me/run", "benchmark": "tid2013", "layer": name, "distance": distance}
                rows.append(row | {"metric": metric, "value": -value})
    return rows


@pytest.fixture
def where(judged, tmp_path, monkeypatch):
    """A tree of eight pairs, which here are as many as were published."""
    monkeypatch.setitem(script.BENCHMARKS, "tid2013", (script.tid2013, 8))
    return {"folders": {"tid2013": judged["tid2013"]}, "cache_dir": tmp_path / "cache"}


def test_a_model_reproduces_its_own_values_and_no_others(store, where, tmp_path, monkeypatch, capsys):
    rows = published_tid(store, where["folders"]["tid2013"])
    rows[0]["value"] += 0.005
    rows[1]["value"] -= 0.05
    published = tmp_path / "own.csv"
    pd.DataFrame(rows).to_csv(published, index=False)
    table = parity(store, published=published, **where)
    assert len(table) == len(rows) == 5 * 4
    assert table["mark"].tolist() == ["close", "differs"] + ["reproduced"] * 18
    assert np.abs(table["difference"][2:]).max() < 1e-5
    folder = f"tid2013={where['folders']['tid2013']}"
    given = ["parity.py", store, "--data-dir", folder, "--published", published]
    monkeypatch.setattr(sys, "argv", [*map(str, given), "--output", str(tmp_path / "parity.csv")])
    script.main()
    *_, counts = capsys.readouterr().out.splitlines()
    assert counts.split() == ["tid2013", "1", "1", "18"]  # close, differs, reproduced
    assert (tmp_path / "parity.csv").read_text().count("reproduced") == 18


def test_the_script_has_the_values_of_2024():
    rows = pd.read_csv(script.PUBLISHED).set_index(["model", "benchmark", "layer", "distance", "metric"])[
        "value"
    ]
    assert len(rows) == 370
    b32, b16 = "openai/clip-vit-base-patch32", "openai/clip-vit-base-patch16"
    assert round(rows[b32, "tid2013", "projection", "normalised_euclidean", "spearman"], 3) == 0.735
    assert round(rows[b32, "nights", "projection", "normalised_euclidean", "accuracy"], 3) == 0.839
    assert round(rows[b16, "things", "projection", "euclidean", "accuracy"], 4) == 0.5304
