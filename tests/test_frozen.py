"""Both studies are finished: their claims, verdicts, tables and pages stay, and say where all code of them is."""

import hashlib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
CARDS = CHECKOUT / "model_cards"
STUDIES = ("study", "real-study", "second-study")
COMMIT = "7d1a4bfcef467f8a8ee96891bdea0ded8156f4f8"
PAGES = [
    *sorted((CHECKOUT / "docs" / "explanation").glob("study*.md")),
    *sorted((CHECKOUT / "docs" / "explanation").glob("second-study*.md")),
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
