"""The contrasts of both studies come out again of the committed tables, as far as the package expresses them."""

import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from committed import CARDS, committed

from hf_clipdyn.results.table import load
from hf_clipdyn.statistics.claims import read_claims
from hf_clipdyn.statistics.judge import Judge, Verdict
from hf_clipdyn.statistics.verdicts import verdict_table

FILES = Path(__file__).parent / "claims"
STUDIES: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "worlds": ("first-worlds", ("study/results",), "study/verdicts"),
    "repeated worlds": ("first-worlds", ("study/repeated",), "study/repeated-verdicts"),
    "photographs": ("first-photographs", ("real-study/results",), "real-study/verdicts"),
    "second worlds": ("second-worlds", ("second-study/worlds/results",), "second-study/worlds-verdicts"),
    "second photographs": (
        "second-photographs",
        ("second-study/photographs/*/results", "second-study/photographs/relations"),
        "second-study/photographs-verdicts",
    ),
}
"""By study: the file of claims, the tables, and the committed verdicts."""
ITEMS_ARE_GONE = ("worlds", "photographs")
"""Studies whose intervals contained items that were not committed."""
PEOPLE = ("people - late",)
"""Contrasts whose interval contained the variance of people."""
MOVED = {"texture's decodability does not fall (late - half)": 0.05}
"""Contrasts that must not fall to -δ: the constant lifts them by δ."""
COLUMNS = ("confidence_level", "n_seeds", "n", "n_clusters")
OF_ITEMS = (
    "ci_low",
    "ci_high",
    "standard_error",
    "degrees_of_freedom",
    "item_error",
    "item_degrees_of_freedom",
)


@cache
def judged(study: str) -> tuple[Mapping[str, Verdict], pd.DataFrame]:
    file, names, _ = STUDIES[study]
    tables = [path for name in names for path in sorted(CARDS.glob(f"{name}.parquet"))]
    found = Judge(load(tables), read_claims(FILES / f"{file}.yaml")).verdicts
    return {one.claim.number: one for one in found}, verdict_table(found)


def contrasts() -> Iterator[tuple[str, int, str]]:
    """Study, claim and title of each contrast that a file of claims and the committed verdicts share."""
    for study, (file, _, kept) in STUDIES.items():
        verdicts = pd.read_parquet(committed(kept))
        known = set(verdicts[["claim", "part_title"]].itertuples(index=False, name=None))
        for claim in read_claims(FILES / f"{file}.yaml").claims:
            for part in claim.parts:
                number = int(claim.number.split()[0]) if claim.number[0].isdigit() else 0
                if (number, part.title) in known:
                    yield study, number, part.title


CONTRASTS = list(contrasts())
assert len(CONTRASTS) == 54, "a contrast is expressed no longer"


@pytest.mark.parametrize(("study", "number", "title"), CONTRASTS)
def test_a_contrast_comes_out_of_the_committed_table(study: str, number: int, title: str):
    _, found = judged(study)
    kept = pd.read_parquet(committed(STUDIES[study][2]))
    (row,) = found[
        (found["part_title"] == title) & (found["claim"].str.split().str[0] == str(number))
    ].to_dict("records")
    (was,) = kept[(kept["part_title"] == title) & (kept["claim"] == number)].to_dict("records")
    near = {"rel": 1e-9, "abs": 1e-9, "nan_ok": True}
    moved = MOVED.get(title, 0.0)
    assert row["value"] - moved == pytest.approx(was["value"], **near)
    for name in COLUMNS:
        assert row[name] == pytest.approx(was[name], **near), name
    assert list(row["scales"]) == list(was["scales"])
    if study in ITEMS_ARE_GONE or title in PEOPLE or math.isnan(was["value"]):
        return
    for name in (name for name in OF_ITEMS if name in was):
        of_ends = moved if name in ("ci_low", "ci_high") else 0.0
        assert row[name] - of_ends == pytest.approx(was[name], **near), name
    assert moved or row["sign"] == was["sign"]


@pytest.mark.parametrize(
    ("study", "claim", "word"),
    [
        ("second worlds", "1", "holds"),
        ("second worlds", "texture always right", "holds"),
        ("second worlds", "5 by prompts", "undecided"),  # in ten words: wrong direction, size open
        ("second worlds", "5 by the probe", "right direction, size open"),
        ("second worlds", "6 by prompts", "holds"),
        ("second worlds", "6 by the probe", "right direction, size open"),
        ("second worlds", "12 by prompts", "holds"),
        ("second worlds", "13 by preference", "holds"),
        ("second worlds", "25", "holds"),
        ("second worlds", "26", "holds"),
        ("second photographs", "1 by preference", "undecided"),
        ("second photographs", "5 by prompts", "contradicted"),
        ("second photographs", "5 by the probe", "contradicted"),
        ("second photographs", "6", "not testable here"),
        ("second photographs", "8", "holds"),
        ("second photographs", "23 by CKA", "right direction, size open"),
        ("repeated worlds", "2", "undecided"),
        ("repeated worlds", "5", "undecided"),
        ("photographs", "2", "negligible"),
        ("photographs", "3", "gate failed"),
        ("photographs", "4", "gate failed"),
        ("photographs", "8", "gate failed"),
    ],
)
def test_the_words_are_those_that_the_rule_gives(study: str, claim: str, word: str):
    assert judged(study)[0][claim].word == word
