"""Numbers in sentences, tables and blocks of pages are those of the committed tables.

Both studies are finished: their tables do not change, and `goldens/quoted.tsv` has what pages quote from them. Commit
e9f4b7a3 has the code that computed it. What pages quote from other tables is computed here.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from committed import CARDS, committed
from printed_blocks import CHECKOUT, blocks_of, prose_of
from result_rows import pick

from hf_clipdyn.benchmarks.shape_scores import NETWORKS
from hf_clipdyn.bundled import recipe_path
from hf_clipdyn.data.sets.cue_conflict import CueConflict

EXPLANATION = CHECKOUT / "docs" / "explanation"
STUDIES = ("study", "real-study", "second-study")
QUOTED = (CHECKOUT / "tests" / "goldens" / "quoted.tsv").read_text(encoding="utf-8").splitlines()
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def text_of(page: Path) -> str:
    """A page without blocks of code and comments, on one line."""
    return " ".join(prose_of(page).split())


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


@pytest.mark.parametrize("page", sorted({line.partition("\t")[0] for line in QUOTED}))
def test_a_page_has_the_numbers_of_a_finished_study_and_names_the_commit_of_its_code(page: str) -> None:
    text = " ".join((CHECKOUT / page).read_text(encoding="utf-8").split())
    quoted = [one for place, one in (line.split("\t") for line in QUOTED) if place == page]
    assert [one for one in quoted if one not in text] == []


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


DYNAMICS = """
Before training {other[0]:.0%} of the answers are for another class
rise to {texture[2]:.2f} by epoch 2 and fall to {texture[10]:.2f}
are at {shape[1]:.2f} after one epoch and at {shape[10]:.2f} in the end
{decoded_texture[2]:.2f} at epoch 2, {decoded_texture[5]:.2f} at epoch 5, {decoded_texture[10]:.2f} at the end
at {half_rise_of_layers[10]:.2f} octaves in the representation and at {half_rise[10]:.2f} in the answers
a lead of {lead[10]:.2f}
kappa on objects falls to {objects_previous[2]:.2f} at epoch 2 and rises to {objects_previous[10]:.2f}
it rises from {objects_last[0]:.2f} before training to {objects_last[9]:.2f} one epoch before the end
previous revision is {conflicts_previous[2]:.2f} at epoch 2 and {conflicts_previous[10]:.2f} at
Of 1,000 objects, the last revision has {wrong[10]:.0f} wrong
There are {forgotten_value[10]:.2f} forgetting events per image; a random learner would have {forgotten_chance[10]:.2f}
{kept_value[10]:.0%} are learned and never forgotten, against {kept_chance[10]:.0%}
is {cka_0[0]:.2f} for the patches (layer 0), {cka_4[0]:.2f} for layer 4 and {cka_None[0]:.2f} for
The steps shrink from {step[1]:.1f} to {step[10]:.1f}
of the path (image encoder {straight_image[10]:.2f}, text encoder {straight_text[10]:.2f})
The distance is {straight_whole[10]:.2f} of the path
"""
DECODABILITY = """
with an accuracy of {decoded_texture[0]:.2f} before training and {decoded_texture[10]:.2f} at the end, shape with
shape with {decoded_shape[0]:.2f} and {decoded_shape[10]:.2f}
{decoded_texture[1]:.2f} after one epoch, against {decoded_shape[1]:.2f} for shape
from {decoded_texture[5]:.2f} at epoch 5
"""
GEOMETRY = """
from {gap[0]:.2f} before training to {gap[5]:.2f} after five epochs
from {ratio[0]:.1f} to {ratio[10]:.1f}
"""
CARD = """
| epoch-001 | {bias[1]:.2f} [{low[1]:.2f}, {high[1]:.2f}] |
| epoch-010 | {bias[10]:.2f} [{low[10]:.2f}, {high[10]:.2f}] |
"""
RECIPE = """
Shape bias {bias[2]:.2f} [{low[2]:.2f}, {high[2]:.2f}] at epoch 2 and {bias[10]:.2f}
zero-shot accuracy {top1[10]:.2f} [{top1_low[10]:.2f}, {top1_high[10]:.2f}]
"""
WORLD = """
is {bias[1]:.2f} [{low[1]:.2f}, {high[1]:.2f}] at epoch 1
{bias[4]:.2f} [{low[4]:.2f}, {high[4]:.2f}] at epoch 4
and {bias[10]:.2f} [{low[10]:.2f}, {high[10]:.2f}] at epoch 10
"""
TUTORIAL = """
| `epoch-001` | {bias[1]:.2f} | {low[1]:.2f} to {high[1]:.2f} |
| `epoch-002` | {bias[2]:.2f} | {low[2]:.2f} to {high[2]:.2f} |
| `epoch-004` | {bias[4]:.2f} | {low[4]:.2f} to {high[4]:.2f} |
| `epoch-010` | {bias[10]:.2f} | {low[10]:.2f} to {high[10]:.2f} |
"""
SHAPE_BIAS = "from {bias[1]:.2f} at epoch 1 to {bias[10]:.2f} at epoch 10"
ZERO_SHOT = "reached {own:.3f} at\nand {last:.3f} with the texts of"
SALIENCY = "untrained | {nss[0]:.2f} | {sauc[0]:.2f} |\n20 epochs | {nss[20]:.2f} | {sauc[20]:.2f} |"


@pytest.mark.parametrize(
    ("page", "sentences", "numbers"),
    [
        (EXPLANATION / "dynamics/index.md", DYNAMICS, courses_of_the_demo),
        (EXPLANATION / "benchmarks/decodability.md", DECODABILITY, courses_of_the_demo),
        (EXPLANATION / "benchmarks/geometry.md", GEOMETRY, courses_of_the_demo),
        (EXPLANATION / "benchmarks/shape-bias.md", SHAPE_BIAS, courses_of_the_demo),
        (EXPLANATION / "world.md", WORLD, courses_of_the_demo),
        (CHECKOUT / "docs/tutorial/demo.md", TUTORIAL, courses_of_the_demo),
        (CARDS / "demo" / "README.md", CARD, courses_of_the_demo),
        (recipe_path("demo"), RECIPE, courses_of_the_demo),
        (EXPLANATION / "study.md", "in {unclear} of {all} revisions it is", courses_of_the_longer_run),
        (EXPLANATION / "benchmarks/zero-shot.md", ZERO_SHOT, courses_of_the_longer_run),
        (EXPLANATION / "benchmarks/saliency.md", SALIENCY, courses_of_the_longer_run),
    ],
    ids=lambda given: given.stem if isinstance(given, Path) else "",
)
def test_a_page_has_the_numbers_of_the_tables(
    page: Path, sentences: str, numbers: Callable[[], dict[str, object]]
) -> None:
    text, known = text_of(page).replace(" %", "%"), numbers()
    said = [one.format(**known) for one in sentences.strip().splitlines()]
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
    page = text_of(EXPLANATION / "published-values.md")
    assert f"of the head, {lite['n']:.0f} conflicts | {words} |" in page


def test_the_intervals_of_the_imagenet_classifiers_are_in_their_table() -> None:
    rows = pd.read_parquet(committed("classifier/results"))[["value", "ci_low", "ci_high"]]
    known = {f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in rows.itertuples(index=False)}
    page = (CHECKOUT / "docs" / "explanation" / "published-values.md").read_text(encoding="utf-8")
    quoted = re.findall(r"\d\.\d{3} \[.*?\]", "".join(re.findall(r"(?m)^\|.*$", page)))
    assert len(quoted) > 30
    assert [one for one in quoted if one not in known] == []
