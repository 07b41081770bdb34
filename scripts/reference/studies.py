"""The page with the verdicts of both studies, from the committed tables."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import yaml

from .page import Page, table

COMMIT = "7d1a4bfc"
"""It has all code of both studies: it trains, measures and judges their runs again."""
_CARDS = Path(__file__).resolve().parents[2] / "model_cards"
_SECOND = _CARDS / "second-study"
_VERDICTS = {
    ("first", "world"): _CARDS / "study" / "verdicts.parquet",
    ("first", "photographs"): _CARDS / "real-study" / "verdicts.parquet",
    ("second", "photographs"): _SECOND / "photographs-verdicts.parquet",
    ("second", "world"): _SECOND / "worlds-verdicts.parquet",
}
_CLAIMS = {"first": _CARDS / "study" / "claims.yaml", "second": _SECOND / "claims-2.yaml"}
"""The claims of each study, as they were registered; those of the package may change."""


def study_pages() -> list[Page]:
    """The verdicts of both studies."""
    return [_both_studies()]


def _both_studies() -> Page:
    tables = {name: pd.read_parquet(path) for name, path in _VERDICTS.items()}
    # The first study names the claims that both ask.
    titles = dict(pair for one in reversed(tables.values()) for pair in _titles(one))
    words = [_words(one, _CLAIMS[study]) for (study, _), one in tables.items()]
    rows = [
        (f"{number} {titles[number]}", *(of_study.get(number, "-") for of_study in words))
        for number in sorted(titles)
    ]
    text = f"""
The words are those of the committed tables of verdicts, which are frozen: commit {COMMIT} has all code of both
studies. The rule of the first study has [five words](../explanation/claims.md), that of the second
[ten](../explanation/ten-words.md). A dash is a claim that the study does not ask. What the words rest on is on the
pages of the [first](../explanation/study.md) and the [second study](../explanation/second-study.md).
"""
    parts = [text, table(("claim", *(f"{study}, {data}" for study, data in tables)), rows)]
    for (study, data), one in tables.items():
        if study == "second":
            head = ("claim", "contrast", "estimate and interval", "δ", "detectable", "seeds", "verdict")
            parts += [f"## The second study, {data}", table(head, _contrasts(one))]
    return Page(
        "reference/verdicts.md",
        "The verdicts of both studies",
        "What both studies say of each claim, side by side.",
        parts,
    )


def _titles(verdicts: pd.DataFrame) -> Iterator[tuple[int, str]]:
    for row in verdicts.itertuples():
        yield int(row.claim), str(row.title)


def _words(verdicts: pd.DataFrame, file: Path) -> dict[int, str]:
    """The verdict on each claim that the file asks of this study; of a control, that it is one."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    asked = {claim["number"]: claim["studies"] for claim in content["claims"]}
    return {
        int(row.claim): row.verdict if row.evidence else f"{row.verdict} (a control)"
        for row in verdicts.drop_duplicates("claim").itertuples()
        if row.study in asked[row.claim]
    }


def _contrasts(verdicts: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """What decides, and the differences of readouts."""
    counted = verdicts[(verdicts["part"] > 0) & (verdicts["role"] != "sensitivity")]
    for row in counted.itertuples():
        yield (
            f"{row.claim}",
            re.sub(r"(?<!\d)\.(?=\d)", "0.", row.part_title),  # registered titles write .8
            f"{_number(row.value, '+')} [{_number(row.ci_low, '+')}, {_number(row.ci_high, '+')}]",
            "" if math.isnan(row.smallest_effect) else f"{row.smallest_effect:g}",
            "" if row.role == "difference" else _number(row.minimum_detectable_effect),
            f"{row.n_seeds}",
            "difference of the readouts" if row.role == "difference" else row.part_verdict,
        )


def _number(value: float, sign: str = "") -> str:
    return "undefined" if math.isnan(value) else f"{value:{sign}.3f}"
