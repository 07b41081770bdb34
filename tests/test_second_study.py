"""The kept runs of the second study: a beginning of the plan, begun after the claims were registered, and small."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hf_clipdyn.results.read import read_results
from hf_clipdyn.study import Study

KEPT = Path(__file__).resolve().parents[1] / "model_cards" / "second-study"
TABLES = sorted((KEPT / "photographs").glob("*/results.parquet"))
REGISTERED = datetime(2026, 11, 29, 2, 25, 23, tzinfo=UTC)  # commit 7dd2e50
MOST = 2_000_000  # bytes of a run


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
