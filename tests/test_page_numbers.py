"""Numbers in sentences, tables and blocks of pages are those of the committed tables.

`goldens/quoted.tsv` has the sentences of pages. Both studies are finished: their tables do not change, and commit
e9f4b7a3 has the code that computed their numbers. Numbers of other tables stand in braces and are computed here.
"""

import hashlib
import re
from collections.abc import Callable
from functools import cache

import pandas as pd
import pytest
from committed import CARDS, committed
from printed_blocks import CHECKOUT, blocks_of
from result_rows import pick

from hf_clipdyn.benchmarks.shape_scores import NETWORKS
from hf_clipdyn.data.sets.cue_conflict import CueConflict

PUBLISHED = CHECKOUT / "docs" / "explanation" / "published-values.md"
STUDIES = ("study", "real-study", "second-study")
QUOTED = (CHECKOUT / "tests" / "goldens" / "quoted.tsv").read_text(encoding="utf-8").splitlines()
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


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


@cache
def courses_of_the_demo() -> dict[str, pd.Series]:
    """What pages quote of the demo by epoch, of its revisions with their own texts."""
    rows = pd.read_parquet(committed("demo/results"))
    rows = rows[rows["texts"].isin(["", "own"])]

    def of(kind: str, metric: str, role: str = "value", column: str = "value", **wanted: object) -> pd.Series:
        found = pick(rows, kind=kind, metric=metric, role=role, **wanted).dropna(subset="value")
        by_epoch: pd.Series = found.set_index("epoch")[column].sort_index()
        assert by_epoch.index.is_unique, (kind, metric, wanted)
        return by_epoch

    cues, order = "cue_learning-shape_bias", "learning_order-zero_shot"
    courses = {
        **{name: of(cues, f"{name}_share", reference="") for name in ("shape", "texture", "other")},
        "lead": of(cues, "shape_lead", reference=""),
        "half_rise": of(cues, "shape_half_rise", probe="projection", reference=""),
        "half_rise_of_layers": of(cues, "shape_half_rise", probe="linear_probe", reference=""),
        **{f"decoded_{cue}": of("decodability", cue, probe="projection") for cue in ("shape", "texture")},
        "bias": of("shape_bias", "shape_bias", variant=""),
        "low": of("shape_bias", "shape_bias", column="ci_low", variant=""),
        "high": of("shape_bias", "shape_bias", column="ci_high", variant=""),
        "top1": of("zero_shot", "top1", probe="projection"),
        "top1_low": of("zero_shot", "top1", column="ci_low", probe="projection"),
        "top1_high": of("zero_shot", "top1", column="ci_high", probe="projection"),
        "wrong": 1000 * (1 - of("zero_shot", "top1", probe="projection")),
        "gap": of("geometry", "gap"),
        "ratio": of("geometry", "participation_ratio_debiased_image"),
        "step": of("weights", "step", subset=""),
        "first_learned": of(order, "median_first_learned"),
        "never_learned": of(order, "never_learned"),
    }
    for kind, items in (("zero_shot", "objects"), ("shape_bias", "conflicts")):
        for other in ("previous", "last"):
            name = f"error_consistency-{kind}"
            courses[f"{items}_{other}"] = of(name, "kappa", probe="projection", reference=other)
    for role in ("value", "chance"):
        courses[f"forgotten_{role}"] = of(order, "forgetting_events", role)
        courses[f"kept_{role}"] = of(order, "unforgettable", role)
    for layer in (0, 4, None):
        courses[f"cka_{layer}"] = of(
            "representation_change-geometry", "cka_debiased", reference="last", layer=layer
        )
    for part in ("", "image", "text"):
        path = of("weights", "path", subset=part)
        courses[f"straight_{part or 'whole'}"] = of("weights", "distance", subset=part) / path
    return courses


@cache
def courses_of_the_longer_run() -> dict[str, object]:
    """What pages quote of the run on photographs that has one seed and 20 epochs."""
    rows = pd.read_parquet(committed("flickr8k/results"))
    rows = pick(rows[rows["variant"].fillna("") == ""], role="value")
    bias = pick(rows, metric="shape_bias", texts="own")
    rollout = pick(rows, dataset="osie", probe="rollout")
    accuracy = pick(rows, metric="top1", epoch=1, kind="zero_shot")
    return {
        "unclear": (~bias["interpretable"].astype(bool)).sum(),
        "all": len(bias),
        **{one: pick(rollout, metric=one).set_index("epoch")["value"] for one in ("nss", "sauc")},
        **{texts: pick(accuracy, texts=texts)["value"].iloc[0] for texts in ("own", "last")},
    }


@pytest.mark.parametrize("page", sorted({line.partition("\t")[0] for line in QUOTED}))
def test_a_page_has_the_numbers_of_the_tables(page: str) -> None:
    text = " ".join((CHECKOUT / page).read_text(encoding="utf-8").split()).replace(" %", "%")
    sentences = [one for place, one in (line.split("\t") for line in QUOTED) if place == page]
    known = {**courses_of_the_demo(), **courses_of_the_longer_run()}
    said = [one.format(**known).replace(" %", "%") for one in sentences]
    assert [one for one in said if one not in text] == []


def test_courses_of_the_demo_turn_where_the_pages_say() -> None:
    known = courses_of_the_demo()
    assert (known["texture"].idxmax(), known["decoded_texture"].idxmax()) == (2, 5)
    assert known["first_learned"][10] == 3
    assert known["never_learned"][10] == pytest.approx(0.003)
    assert (known["gap"][5:] - known["gap"][5]).abs().max() < 0.03


@pytest.mark.parametrize(
    ("page", "options"),
    [
        ("README.md", ["--benchmarks", "shape_bias/procedural"]),
        ("docs/reference/commands/report.md", ["--benchmarks", "zero_shot/procedural"]),
    ],
)
def test_printed_numbers_of_the_demo_are_those_of_its_committed_table(
    page: str, options: list[str], clipdyn: Callable[..., tuple[int, str, str]]
) -> None:
    """Line by line and digit by digit."""
    (said,) = (
        one.text for one in blocks_of(CHECKOUT / page) if re.search(r"^ +metric +course", one.text, re.M)
    )
    code, out, _ = clipdyn("report", committed("demo/results"), "--print", "numbers", *options)
    assert code == 0
    rest, said = (re.sub(" {2,}", "  ", text) for text in (out, said))  # versions of rich differ in spaces
    printed = iter(rest.splitlines())
    lines = [line for line in said.splitlines() if line.strip() != "…" and not line.startswith("$ ")]
    assert [line for line in lines if line not in printed] == []


def test_readme_has_the_values_of_the_declarations_and_of_the_measured_table() -> None:
    metadata = CueConflict.metadata
    assert f"| human observers | {metadata.human_reference['shape_bias']:.3f} |" in README
    _, shape, texture = NETWORKS["resnet50"]
    assert f"| ResNet-50 | {shape / (shape + texture):.3f} |" in README
    assert f"of the {metadata.rows['test']:,} images" in README
    rows = pd.read_parquet(committed("classifier/results"))
    chosen = (rows["metric"] == "shape_bias") & (rows["role"] == "value") & rows["variant"].eq("")
    (lite,) = rows[chosen & (rows["repo_id"] == "lite0")].to_dict("records")
    words = f"{lite['value']:.3f} [{lite['ci_low']:.3f}, {lite['ci_high']:.3f}]"
    assert f"| EfficientNet-Lite0 | {words} |" in README
    assert f"{lite['n']:.0f} conflicts among 320 of" in README
    page = " ".join(PUBLISHED.read_text(encoding="utf-8").split())
    assert f"of the head, {lite['n']:.0f} conflicts | {words} |" in page


def test_the_intervals_of_the_imagenet_classifiers_are_in_their_table() -> None:
    rows = pd.read_parquet(committed("classifier/results"))[["value", "ci_low", "ci_high"]]
    known = {f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in rows.itertuples(index=False)}
    page = PUBLISHED.read_text(encoding="utf-8")
    quoted = re.findall(r"\d\.\d{3} \[.*?\]", "".join(re.findall(r"(?m)^\|.*$", page)))
    assert len(quoted) > 30
    assert [one for one in quoted if one not in known] == []
