"""What is kept of the second study: runs that began after the claims were registered, and verdicts that come out again.

The scripts that judge the runs and draw the verdicts are tried on the two seeds that tuned the study.
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
CLAIMS = ROOT / "hf_clipdyn" / "statistics" / "claims-2.yaml"
PHOTOGRAPHS = sorted((KEPT / "photographs").glob("*/results.parquet"))
WORLDS = KEPT / "worlds" / "results.parquet"
JUDGED = {"photographs": [*PHOTOGRAPHS, KEPT / "photographs" / "relations.parquet"], "worlds": [WORLDS]}
REGISTERED = datetime(2026, 11, 29, 2, 25, 23, tzinfo=UTC)  # commit 7dd2e50
MOST = 2_000_000  # bytes of a run


def run_script(name: str, *arguments: Path) -> None:
    """Run a script as people start it."""
    subprocess.run([sys.executable, ROOT / "scripts" / name, *arguments], check=True, timeout=600)


def runs_of(table: Path) -> set[str]:
    return {origin.run.removeprefix("local/") for origin in read_results(table).origins}


def test_the_kept_runs_are_those_of_the_plan() -> None:
    assert all(runs_of(table) == {table.parent.name} for table in PHOTOGRAPHS)
    planned = [member.name for member in Study.read("photographs").members]
    assert {table.parent.name for table in PHOTOGRAPHS} == set(planned[: len(PHOTOGRAPHS)])
    assert runs_of(WORLDS) == {member.name for member in Study.read("worlds").members}


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/explanation/second-study.md"])
def test_the_runs_of_the_figure_are_counted_as_they_are_kept(page: str) -> None:
    assert len(PHOTOGRAPHS) == 8
    assert f"of eight runs on photographs and {len(runs_of(WORLDS))} in " in (ROOT / page).read_text("utf-8")


@pytest.mark.parametrize("table", [*PHOTOGRAPHS, WORLDS], ids=lambda table: table.parent.name)
def test_kept_runs_began_after_the_registration_and_were_measured_by_commits(table: Path) -> None:
    for origin in read_results(table).origins:
        began, measured = (datetime.fromisoformat(stamp) for stamp in (origin.began, origin.measured))
        assert REGISTERED < began < measured
        assert origin.packages
        assert all("+" in package and not package.endswith(".dirty") for package in origin.packages)


@pytest.mark.parametrize("table", PHOTOGRAPHS, ids=lambda table: table.parent.name)
def test_a_kept_run_is_small(table: Path) -> None:
    assert sum(file.stat().st_size for file in table.parent.rglob("*") if file.is_file()) <= MOST


@pytest.mark.parametrize("part", JUDGED)
def test_the_verdicts_come_out_again_from_what_is_kept(part: str, tmp_path: Path) -> None:
    # A copy, since whoever reads kept answers writes beside them what each image contributes.
    shutil.copytree(KEPT / part, tmp_path / part)
    tables = [tmp_path / table.relative_to(KEPT) for table in JUDGED[part]]
    kept = pd.read_parquet(KEPT / f"{part}-verdicts.parquet")
    found = hf_clipdyn.verdicts(tables, claims=CLAIMS, show_progress=False)
    pd.testing.assert_frame_equal(found[list(kept)], kept, rtol=1e-9, atol=1e-9)


def test_images_that_two_revisions_classify_correctly_lose_more_to_noise_late(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "explanation" / "second-study.md").read_text(encoding="utf-8")
    more = []
    for seed in range(20, 25):
        run = shutil.copytree(KEPT / "photographs" / f"photo-m-seed{seed}", tmp_path / f"{seed}")
        revisions = "epoch-002", "epoch-007"
        compared = hf_clipdyn.compare_revisions(
            run / "results.parquet", *revisions, ["noise/cifar10"], show_progress=False
        )
        more += compared.loc[compared["metric"] == "drop_when_both_right", "difference"].to_list()
    assert len(more) == 10  # five seeds, two sigmas
    assert f"noise takes {min(more):.2f} to {max(more):.2f} more of them" in " ".join(page.split())


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
    found = hf_clipdyn.verdicts(tables, claims=CLAIMS, show_progress=False)
    pd.testing.assert_frame_equal(found[list(judged)], judged, rtol=1e-9, atol=1e-9)

    # The figures have both parts: the worlds are played by the photographs.
    shutil.copytree(kept, tmp_path / "worlds")
    shutil.copy(tmp_path / "photographs-verdicts.parquet", tmp_path / "worlds-verdicts.parquet")
    run_script("draw_second_study.py", tmp_path, tmp_path)
    verdicts = (tmp_path / "second-study-verdicts.svg").read_text(encoding="utf-8")
    assert all(title in verdicts for title in judged.loc[judged["part"] > 0, "title"])
    assert "class cross-entropy" in (tmp_path / "second-study-courses.svg").read_text(encoding="utf-8")
