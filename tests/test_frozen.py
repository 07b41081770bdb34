"""Both studies are finished: their claims, verdicts, tables and pages stay, and say where all code of them is."""

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from hf_clipdyn.results.table import load

CHECKOUT = Path(__file__).resolve().parents[1]
CARDS = CHECKOUT / "model_cards"
EXPLANATION = CHECKOUT / "docs" / "explanation"
STUDIES = ("study", "real-study", "second-study")
COMMIT = "7d1a4bfcef467f8a8ee96891bdea0ded8156f4f8"
PAGES = [
    *sorted(EXPLANATION.glob("study*.md")),
    *sorted(EXPLANATION.glob("second-study*.md")),
    CHECKOUT / "docs" / "reference" / "verdicts.md",
    *(page for study in STUDIES for page in sorted((CARDS / study).glob("*.md"))),
]


def test_the_files_of_both_studies_are_those_that_were_recorded() -> None:
    """`sha256sum --check SHA256SUMS` in model_cards/ says the same."""
    lines = (CARDS / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    recorded = {name: digest for digest, name in (line.split("  ") for line in lines)}
    found = {
        path.relative_to(CARDS).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for study in STUDIES
        for path in (CARDS / study).rglob("*")
        if path.is_file() and path.suffix != ".md" and path.parent.name != "figures"
    }
    assert found == recorded


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_a_page_of_a_study_names_the_commit_that_has_all_its_code(page: Path) -> None:
    assert COMMIT[:8] in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [CHECKOUT / "docs" / "index.md", EXPLANATION / "second-study.md"])
def test_the_runs_of_the_second_study_are_counted_as_they_are_kept(page: Path) -> None:
    kept = CARDS / "second-study"
    assert len(list((kept / "photographs").glob("*/results.parquet"))) == 8
    worlds = {origin.run for origin in load(kept / "worlds" / "results.parquet").origins}
    assert f"of eight runs on photographs and {len(worlds)} in " in page.read_text(encoding="utf-8")


def test_what_noise_takes_from_images_that_two_revisions_classify_is_as_the_page_says() -> None:
    page = " ".join((EXPLANATION / "second-study.md").read_text(encoding="utf-8").split())
    pairs = pd.read_csv(CARDS / "second-study" / "drop-when-both-right.csv")
    assert pairs["difference"].between(pairs["ci_low"], pairs["ci_high"]).all()
    ends = pairs[(pairs["revision_a"] == "epoch-002") & (pairs["revision_b"] == "epoch-007")]
    more = ends.loc[ends["run"].str.fullmatch("photo-m-seed2[0-4]"), "difference"]
    assert len(more) == 10  # five seeds, two sigmas
    assert f"noise takes {more.min():.2f} to {more.max():.2f} more of them" in page
