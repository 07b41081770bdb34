"""What is kept of the second study: runs that began after the registration."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from hf_clipdyn.results.table import load

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "model_cards" / "second-study"
PHOTOGRAPHS = sorted((KEPT / "photographs").glob("*/results.parquet"))
WORLDS = KEPT / "worlds" / "results.parquet"
REGISTERED = datetime(2026, 11, 29, 2, 25, 23, tzinfo=UTC)  # commit 7dd2e50
MOST = 2_000_000  # bytes of a run


def runs_of(table: Path) -> set[str]:
    return {origin.run.removeprefix("local/") for origin in load(table).origins}


def test_the_kept_runs_are_those_of_the_plan() -> None:
    assert all(runs_of(table) == {table.parent.name} for table in PHOTOGRAPHS)
    classes = {f"classes-photo-m-seed{seed}" for seed in range(20, 23)}
    assert {table.parent.name for table in PHOTOGRAPHS} == classes | {
        f"photo-m-seed{seed}" for seed in range(20, 25)
    }
    seeds = {"": 16, "noise-": 16, "easy-100-": 8, "hard-80-": 8, "hard-100-": 8}
    assert runs_of(WORLDS) == {f"{arm}tiny-seed{30 + at}" for arm, n in seeds.items() for at in range(n)}


@pytest.mark.parametrize("page", ["docs/index.md", "docs/explanation/second-study.md"])
def test_the_runs_of_the_figure_are_counted_as_they_are_kept(page: str) -> None:
    assert len(PHOTOGRAPHS) == 8
    assert f"of eight runs on photographs and {len(runs_of(WORLDS))} in " in (ROOT / page).read_text("utf-8")


@pytest.mark.parametrize("table", [*PHOTOGRAPHS, WORLDS], ids=lambda table: table.parent.name)
def test_kept_runs_began_after_the_registration_and_were_measured_by_commits(table: Path) -> None:
    for origin in load(table).origins:
        began, measured = (datetime.fromisoformat(stamp) for stamp in (origin.began, origin.measured))
        assert REGISTERED < began < measured
        assert origin.packages
        assert all("+" in package and not package.endswith(".dirty") for package in origin.packages)


@pytest.mark.parametrize("table", PHOTOGRAPHS, ids=lambda table: table.parent.name)
def test_a_kept_run_is_small(table: Path) -> None:
    assert sum(file.stat().st_size for file in table.parent.rglob("*") if file.is_file()) <= MOST


def test_images_that_two_revisions_classify_correctly_lose_more_to_noise_late() -> None:
    page = (ROOT / "docs" / "explanation" / "second-study.md").read_text(encoding="utf-8")
    pairs = pd.read_csv(KEPT / "drop-when-both-right.csv")
    assert pairs["difference"].between(pairs["ci_low"], pairs["ci_high"]).all()
    ends = pairs[(pairs["revision_a"] == "epoch-002") & (pairs["revision_b"] == "epoch-007")]
    more = ends.loc[ends["run"].str.fullmatch("photo-m-seed2[0-4]"), "difference"]
    assert len(more) == 10  # five seeds, two sigmas
    assert f"noise takes {more.min():.2f} to {more.max():.2f} more of them" in " ".join(page.split())
