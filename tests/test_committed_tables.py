"""Tables with rows of kinds, relations and data sets that left the package load and draw with their own words.

The tables in model_cards/ were written by 0.3 and are frozen; a table of one's own may be continued.
"""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from committed import committed
from planted import Planted, Run, ramp, write_study

from hf_clipdyn import compare_revisions, evaluate_revisions, verdicts
from hf_clipdyn.benchmarks.registry import kinds, relations
from hf_clipdyn.benchmarks.sources import local_source
from hf_clipdyn.evaluation.answers import with_images
from hf_clipdyn.evaluation.publish import _stage
from hf_clipdyn.metrics.influence import Influence, Units
from hf_clipdyn.report import print_results, read_study, summarize, write_cards, write_report
from hf_clipdyn.report.figures import draw_planned, plan_figures
from hf_clipdyn.report.page.payload import payload, story
from hf_clipdyn.report.style import figure_style
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import NUMBER_KEY, Row
from hf_clipdyn.results.table import load
from hf_clipdyn.results.terms import DatasetTerms, KindTerms, Overview, Term, Vocabulary
from hf_clipdyn.statistics.claims import EMBEDDED

_UNITS = Units("images", np.arange(40)[:, None], 40)


DRAWN = (
    *("classifier", "demo", "flickr8k", "real-study", "second-study/photographs/photo-m-seed20"),
    *("second-study/photographs-tuning/photo-m-seed0", "second-study/worlds"),
)
"""A run, or the runs, of each design; others differ in their seeds."""


@pytest.mark.parametrize("name", [*(f"{one}/results" for one in DRAWN), "study/tuning"])
def test_a_committed_table_loads_and_draws_with_its_own_words(name: str) -> None:
    table = committed(name)
    study, words = read_study(table), load(table).words
    assert {kind for kind, _ in study.measured} <= set(words.kinds)
    known, planned = {*kinds(), *relations()}, plan_figures(study)
    left = [name for name in study.planner.benchmarks if re.split("[-/]", name)[0] not in known]
    drawn = payload(study.planner, {}, story(study.planner))["benchmarks"]
    shown = {one["name"]: f"{one['title']} {one['of']}" for one in drawn}
    assert all(words.kind(name.partition("/")[0]).title in one for name, one in shown.items())
    for one in left:
        assert words.dataset(one.partition("/")[2]).title.lower() in shown[one].lower()
        with figure_style():
            assert draw_planned(study, planned[re.sub("[/_]", "-", one)][:1], 6.0) is not None


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A planted study whose trials are also those of a kind, and of a data set, that nobody knows any more."""
    runs = [Run(scale="tiny", seed=seed, planted=Planted(accuracy=ramp(0.2, 0.9))) for seed in (10, 11)]
    output = write_study(tmp_path_factory.mktemp("used") / "results.parquet", runs, shares=[0, 0.5, 1.0])
    store, rng = CellStore(output), np.random.default_rng(0)
    words = load(output).words
    terms = KindTerms(
        title="Former kind", terms={"score": Term(title="former score", overview=Overview(rank=1))}
    )
    now = Vocabulary(
        kinds={**words.kinds, "former": terms},
        datasets={**words.datasets, "former_set": DatasetTerms(title="Former set", synthetic=True)},
    )
    for cell in list(store.cells()):
        if cell.kind == "zero_shot":
            trials = store.trials(cell.key)
            rows = [Row(**row) for row in store.rows(cell.key).to_pylist()]
            store.write(replace(cell, dataset="former_set"), _of(rows, dataset="former_set"), trials, now)
            chosen = [row for row in rows if row.metric == "top1" and row.role == "value"]
            own = _of(chosen, kind="former", metric="score")
            known = {key: Influence.on(_UNITS, rng.normal(size=40) / 400) for key in map(_key, own)}
            store.write(replace(cell, kind="former"), own, trials, now, influences=known)
    store.rebuild()
    return output


def _of(rows: list[Row], **columns: str) -> list[Row]:
    return [replace(row, **columns) for row in rows]


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in NUMBER_KEY)


def test_rows_of_unknown_kinds_are_reported_printed_judged_and_shared(
    used: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = read_study(used)
    page = write_report(study, tmp_path / "report", figures=False)
    assert "Former kind" in Path(page).read_text(encoding="utf-8")
    print_results(study)
    assert "former/procedural" in capsys.readouterr().out
    assert len(verdicts(used, EMBEDDED, show_progress=False))
    assert summarize(study)
    cards = write_cards(study, tmp_path / "cards")
    assert any("former score" in Path(card).read_text(encoding="utf-8") for card in cards)
    compared = compare_revisions(used, "me/tiny-seed10@epoch-000", "me/tiny-seed10@epoch-002")
    former = compared[compared["kind"] == "former"]
    assert {"zero_shot", "shape_bias"} <= set(compared["kind"])
    assert len(former)
    assert (former["ci_low"] < former["difference"]).all(), "its influences were kept"


def test_rows_of_unknown_kinds_do_not_hinder_relations_of_known_ones(used: Path, tmp_path: Path) -> None:
    for path in used.parent.iterdir():
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, tmp_path / path.name)
    table = evaluate_revisions(
        ["me/tiny-seed10", "me/tiny-seed11"],
        relations=["error_consistency"],
        output=tmp_path / used.name,
        show_progress=False,
    ).to_pandas()
    assert "error_consistency-zero_shot" in set(table["kind"])
    assert not [kind for kind in set(table["kind"]) if "former" in kind]
    rows = load(tmp_path / used.name)
    assert {"former", "error_consistency-zero_shot"} <= set(rows.cells["kind"])
    assert rows.words.kind("former").title == "Former kind"


def test_trials_of_unknown_data_sets_are_not_passed_on_and_their_images_not_searched(
    used: Path, tmp_path: Path
) -> None:
    kept_here = _stage(used, tmp_path, "me/results", hidden=True)
    assert sorted(kept_here) == ["former/procedural", "zero_shot/former_set"]
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "`zero_shot/former_set`" in card
    assert local_source("former_set", ("labels",)) is None
    names = ("zero_shot/former_set", "former/procedural", "zero_shot/procedural")
    assert with_images(names, {}) == ["zero_shot/procedural"]
