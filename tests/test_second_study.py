"""The kept runs of the second study: a beginning of the plan, begun after the claims were registered, and small.

The scripts that judge them and draw the verdicts are tried on the two seeds that tuned the study.
"""

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

import hf_clipdyn
from hf_clipdyn.results.read import read_results
from hf_clipdyn.study import Study

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "model_cards" / "second-study"
TABLES = sorted((KEPT / "photographs").glob("*/results.parquet"))
REGISTERED = datetime(2026, 11, 29, 2, 25, 23, tzinfo=UTC)  # commit 7dd2e50
MOST = 2_000_000  # bytes of a run


def run_script(name: str, *arguments: Path) -> None:
    """Run a script as people start it."""
    subprocess.run([sys.executable, ROOT / "scripts" / name, *arguments], check=True, timeout=600)


def test_the_kept_runs_are_the_first_of_the_plan() -> None:
    planned = [member.name for member in Study.read("photographs").members]
    assert {table.parent.name for table in TABLES} == set(planned[: len(TABLES)])


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.parent.name)
def test_a_kept_run_began_after_the_registration_and_was_measured_by_a_commit(table: Path) -> None:
    (origin,) = read_results(table).origins
    assert origin.run == f"local/{table.parent.name}"
    began, measured = (datetime.fromisoformat(stamp) for stamp in (origin.began, origin.measured))
    assert REGISTERED < began < measured
    assert origin.packages
    assert all("+" in package and not package.endswith(".dirty") for package in origin.packages)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.parent.name)
def test_a_kept_run_is_small(table: Path) -> None:
    assert sum(file.stat().st_size for file in table.parent.rglob("*") if file.is_file()) <= MOST


@pytest.mark.slow
def test_kept_runs_are_judged_and_drawn_and_anyone_gets_the_same_verdicts(tmp_path: Path) -> None:
    kept, page = tmp_path / "photographs", tmp_path / "page.html"
    shutil.copytree(KEPT / "photographs-tuning", kept)
    run_script("judge_kept.py", kept, page)
    text = page.read_text(encoding="utf-8")
    assert "zero-shot" not in text.lower()
    assert f"{ROOT}" not in text
    judged = pd.read_parquet(tmp_path / "photographs-verdicts.parquet")
    tables = [*sorted(kept.glob("*/results.parquet")), kept / "relations.parquet"]
    claims = ROOT / "hf_clipdyn" / "statistics" / "claims-2.yaml"
    found = hf_clipdyn.verdicts(tables, claims=claims, show_progress=False)
    pd.testing.assert_frame_equal(found[list(judged)], judged, rtol=1e-9, atol=1e-9)

    # The figures have both parts: the worlds are played by the photographs.
    shutil.copytree(kept, tmp_path / "worlds")
    shutil.copy(tmp_path / "photographs-verdicts.parquet", tmp_path / "worlds-verdicts.parquet")
    run_script("draw_second_study.py", tmp_path, tmp_path)
    verdicts = (tmp_path / "second-study-verdicts.svg").read_text(encoding="utf-8")
    assert all(title in verdicts for title in judged.loc[judged["part"] > 0, "title"])
    assert "class cross-entropy" in (tmp_path / "second-study-courses.svg").read_text(encoding="utf-8")
