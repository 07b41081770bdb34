"""The page with the verdicts of both studies, from the committed tables."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import yaml

from .page import Page, bullets, table

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


_WORDS = """
## The words

[L, U] is the interval of a contrast; positive values favour the claim, and δ is the smallest effect of interest. Each
interval has exactly one word:

| interval | word |
| --- | --- |
| L >= δ | holds |
| 0 < L < δ <= U | right direction, size open |
| 0 < L, U < δ | right direction, smaller than δ |
| -δ < L <= 0 <= U < δ | negligible |
| -δ < L, U < 0 | wrong direction, smaller than δ |
| L <= -δ < U < 0 | wrong direction, size open |
| U <= -δ | contradicted |
| L <= -δ, 0 <= U < δ | an effect of δ is excluded |
| -δ < L <= 0, U >= δ | undecided; an opposite effect of δ is excluded |
| L <= -δ, U >= δ | undecided |

![One interval for each of the ten words, over the band from -δ to δ](../images/verdict-rule-ten.png)

A claim of several parts holds if all parts hold, and is not supported if one part is against it. A part may require
that a number does *not fall* by δ: then L > -δ is enough. Each interval has its own Student's *t* for seeds and for
items: half-width² = t²(n - 1) s²/n + t²(clusters - 1) V. In simulated families of three claims with five seeds, two
readouts each, 19 to 50 of 1,000 families had a false word where the seeds' error dominates.

### Two readouts side by side

A claim can name two readouts, such as prompts and a linear probe. Each gets the word of its own parts:

| the two words | the verdict |
| --- | --- |
| the same direction, or both negligible | the weaker word |
| opposite directions, or a direction and "negligible" | depends on the readout |
| both exclude an effect of δ, and at least one has exactly that verdict | an effect of δ is excluded |
| one is undecided | "holds by prompts, the other undecided" |
| the gate of one failed | "holds by prompts, the gate of the other failed" |
"""


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
What both studies found about each claim, from the committed tables, which are frozen: commit {COMMIT} has all code of
both studies. Verdicts of the first study follow the [rule of five words](../explanation/claims.md#the-rule), verdicts
of the second use [ten words](#the-words). A dash is a claim that the study does not test; codes in brackets are from
the [plan](../../model_cards/second-study/plan.md). The pages of the [first](../explanation/study.md) and the [second
study](../explanation/second-study.md) have the contrasts, and [a
command](../explanation/second-study.md#compute-the-verdicts-again) prints them with their detectable effects.
"""
    parts = [text, table(("claim", *(f"{study}, {data}" for study, data in tables)), rows)]
    seconds = {data: one for (study, data), one in tables.items() if study == "second"}
    parts += [
        "## Sensitivities with another word",
        "Registered other ways to compute a contrast: another metric, other texts, another window, or the items held "
        "fixed. They never change a verdict. In brackets is the word of the contrast.",
        bullets(line for data, one in seconds.items() for line in _sensitivities(data, one)),
        _WORDS,
    ]
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


def _sensitivities(data: str, verdicts: pd.DataFrame) -> Iterator[str]:
    """Of each contrast, those whose word is not its word."""
    contrasts = verdicts[verdicts["role"] == "contrast"].set_index(["claim", "part_title"])["part_verdict"]
    found: dict[tuple[int, str], list[str]] = {}
    for row in verdicts[verdicts["role"] == "sensitivity"].itertuples():
        how, _, title = row.part_title.partition(": ")
        if contrasts[row.claim, title] != row.part_verdict:
            interval = f" {_number(row.value, '+')} [{_number(row.ci_low, '+')}, {_number(row.ci_high, '+')}]"
            came_out = row.part_verdict + ("" if math.isnan(row.value) else interval)
            found.setdefault((row.claim, title), []).append(f"*{_digits(how)}*: {came_out}")
    for (claim, title), others in found.items():
        yield f"{claim}, {data}, {_digits(title)} ({contrasts[claim, title]}). {'; '.join(others)}"


def _digits(title: str) -> str:
    """Registered titles write .8."""
    return re.sub(r"(?<!\d)\.(?=\d)", "0.", title)


def _number(value: float, sign: str = "") -> str:
    return "undefined" if math.isnan(value) else f"{value:{sign}.3f}"
