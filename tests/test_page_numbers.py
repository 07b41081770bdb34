"""Numbers in sentences, tables and blocks of pages are those of the committed tables.

Both studies are finished: their tables do not change, and `goldens/quoted.tsv` has what pages quote from them. Commit
e9f4b7a3 has the code that computed it. What pages quote from other tables is computed here.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import cache

import pandas as pd
import pytest
from printed_blocks import CHECKOUT, blocks_of, prose_of

from hf_clipdyn.benchmarks.shape_scores import NETWORKS
from hf_clipdyn.bundled import recipe_path
from hf_clipdyn.data.sets.cue_conflict import CueConflict

CARDS = CHECKOUT / "model_cards"
STUDIES = ("study", "real-study", "second-study")
QUOTED = (CHECKOUT / "tests" / "goldens" / "quoted.tsv").read_text(encoding="utf-8").splitlines()
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def text_of(page: str) -> str:
    """A page without blocks of code and comments, on one line."""
    return " ".join(prose_of(CHECKOUT / page).split())


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


def printed(number: float, digits: int = 3) -> str:
    return f"{number:.{digits}f}"


def numbers_of_the_longer_run(*quoted: str) -> Callable[[], Iterator[str]]:
    """Sentences with numbers of the run on photographs that has one seed and 20 epochs."""

    def sentences() -> Iterator[str]:
        rows = pd.read_parquet(CARDS / "flickr8k" / "results.parquet")
        rows = rows[(rows["role"] == "value") & (rows["variant"].fillna("") == "")]
        bias = rows[(rows["metric"] == "shape_bias") & (rows["texts"] == "own")]
        rollout = rows[(rows["dataset"] == "osie") & (rows["probe"] == "rollout")].set_index(
            ["metric", "epoch"]
        )["value"]
        accuracy = rows[(rows["metric"] == "top1") & (rows["epoch"] == 1) & (rows["kind"] == "zero_shot")]
        own, last = (accuracy.loc[accuracy["texts"] == texts, "value"].iloc[0] for texts in ("own", "last"))
        numbers = {
            "unclear": (~bias["interpretable"].astype(bool)).sum(),
            "all": len(bias),
            "own": printed(own),
            "last": printed(last),
        } | {f"{metric}_{epoch}": printed(value, 2) for (metric, epoch), value in rollout.items()}
        for one in quoted:
            yield one.format(**numbers)

    return sentences


@cache
def demo() -> pd.DataFrame:
    """The values of the demo's revisions, asked with their own texts."""
    rows = pd.read_parquet(CARDS / "demo" / "results.parquet")
    own: pd.DataFrame = rows[(rows["role"] == "value") & rows["texts"].isin(["", "own"])]
    return own


def of_demo(kind: str, metric: str, **wanted: object) -> pd.Series:
    """A number of the demo by epoch."""
    rows = demo()
    for column, value in {"kind": kind, "metric": metric, **wanted}.items():
        held = rows[column].isna() if value is None else rows[column] == value
        rows = rows[held]
    of_epochs: pd.Series = rows.dropna(subset="value").set_index("epoch")["value"].sort_index()
    assert of_epochs.index.is_unique, (kind, metric, wanted)
    return of_epochs


def two(number: float) -> str:
    return printed(number, 2)


def cue_learning_of_the_demo() -> Iterator[str]:
    name = "cue_learning-shape_bias"
    shape, texture, other = (
        of_demo(name, f"{cue}_share", reference="") for cue in ("shape", "texture", "other")
    )
    yield f"Before training {100 * other[0]:.0f} % of the answers are for another class"
    assert texture.idxmax() == 2
    yield f"rise to {two(texture[2])} by epoch 2 and fall to {two(texture[10])}"
    yield f"are at {two(shape[1])} after one epoch and at {two(shape[10])} in the end"
    decoded = of_demo("decodability", "texture", probe="projection")
    assert decoded.idxmax() == 5
    yield f"{two(decoded[2])} at epoch 2, {two(decoded[5])} at epoch 5, {two(decoded[10])} at the end"
    layers, answers = (
        two(of_demo(name, "shape_half_rise", probe=probe, reference="")[10])
        for probe in ("linear_probe", "projection")
    )
    yield f"at {layers} octaves in the representation and at {answers} in the answers"
    yield f"a lead of {two(of_demo(name, 'shape_lead', reference='')[10])}"


def error_consistency_of_the_demo() -> Iterator[str]:
    kappa = {
        (kind, reference): of_demo(
            f"error_consistency-{kind}", "kappa", probe="projection", reference=reference
        )
        for kind in ("zero_shot", "shape_bias")
        for reference in ("previous", "last")
    }
    objects, last = kappa["zero_shot", "previous"], kappa["zero_shot", "last"]
    yield f"kappa on objects falls to {two(objects[2])} at epoch 2 and rises to {two(objects[10])}"
    yield f"it rises from {two(last[0])} before training to {two(last[9])} one epoch before the end"
    conflicts = kappa["shape_bias", "previous"]
    yield f"kappa with the previous revision is {two(conflicts[2])} at epoch 2 and {two(conflicts[10])} at"
    right = of_demo("zero_shot", "top1", probe="projection")[10]
    yield f"Of 1,000 objects, the last revision has {1000 * (1 - right):.0f} wrong"


def learning_order_of_the_demo() -> Iterator[str]:
    rows = pd.read_parquet(CARDS / "demo" / "results.parquet")
    rows = rows[(rows["kind"] == "learning_order-zero_shot") & (rows["epoch"] == 10)]
    at = rows.set_index(["metric", "role"])["value"]
    assert at["median_first_learned", "value"] == 3
    assert at["never_learned", "value"] == pytest.approx(0.003)
    events = [two(at["forgetting_events", role]) for role in ("value", "chance")]
    yield "There are {} forgetting events per image; a random learner would have {}".format(*events)
    kept = [f"{100 * at['unforgettable', role]:.0f} %" for role in ("value", "chance")]
    yield "{} are learned and never forgotten, against {}".format(*kept)


def representation_of_the_demo() -> Iterator[str]:
    name = "representation_change-geometry"
    layers = (*range(5), None)
    before = [of_demo(name, "cka_debiased", reference="last", layer=layer)[0] for layer in layers]
    yield (
        f"is {two(before[0])} for the patches (layer 0), {two(before[4])} for layer 4 and {two(before[5])} for"
    )


def weights_of_the_demo() -> Iterator[str]:
    steps = of_demo("weights", "step", subset="")
    yield f"The steps shrink from {printed(steps[1], 1)} to {printed(steps[10], 1)}"
    whole, image, text = (
        two(of_demo("weights", "distance", subset=part)[10] / of_demo("weights", "path", subset=part)[10])
        for part in ("", "image", "text")
    )
    yield f"The distance is {whole} of the path (image encoder {image}, text encoder {text})"


def decodability_of_the_demo() -> Iterator[str]:
    texture, shape = (of_demo("decodability", cue, probe="projection") for cue in ("texture", "shape"))
    ends = f"{two(texture[10])} at the end, shape with {two(shape[0])} and {two(shape[10])}"
    yield f"with an accuracy of {two(texture[0])} before training and {ends}"
    yield f"{two(texture[1])} after one epoch, against {two(shape[1])} for shape"
    yield f"from {two(texture[5])} at epoch 5"


def geometry_of_the_demo() -> Iterator[str]:
    gap = of_demo("geometry", "gap")
    yield f"from {two(gap[0])} before training to {two(gap[5])} after five epochs"
    assert (gap[5:] - gap[5]).abs().max() < 0.03
    ratio = of_demo("geometry", "participation_ratio_debiased_image")
    yield f"from {printed(ratio[0], 1)} to {printed(ratio[10], 1)}"


@pytest.mark.parametrize(
    ("page", "sentences"),
    [
        ("dynamics/index.md", cue_learning_of_the_demo),
        ("dynamics/index.md", error_consistency_of_the_demo),
        ("dynamics/index.md", learning_order_of_the_demo),
        ("dynamics/index.md", representation_of_the_demo),
        ("dynamics/index.md", weights_of_the_demo),
        ("benchmarks/decodability.md", decodability_of_the_demo),
        ("benchmarks/geometry.md", geometry_of_the_demo),
        ("study.md", numbers_of_the_longer_run("in {unclear} of {all} revisions it is")),
        (
            "benchmarks/zero-shot.md",
            numbers_of_the_longer_run("reached {own} at", "and {last} with the texts of"),
        ),
        (
            "benchmarks/saliency.md",
            numbers_of_the_longer_run(
                "untrained | {nss_0} | {sauc_0} |", "20 epochs | {nss_20} | {sauc_20} |"
            ),
        ),
    ],
    ids=lambda given: getattr(given, "__name__", given),
)
def test_a_page_has_the_numbers_of_the_tables(page: str, sentences: Callable[[], Iterator[str]]) -> None:
    text = text_of(f"docs/explanation/{page}")
    assert [one for one in sentences() if one not in text] == []


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
    code, out, _ = clipdyn("report", CARDS / "demo" / "results.parquet", "--print", "numbers", *options)
    assert code == 0
    rest = iter(out.splitlines())
    lines = [line for line in said.splitlines() if line.strip() != "…" and not line.startswith("$ ")]
    assert [line for line in lines if line not in rest] == []


def test_readme_has_the_values_of_the_declarations_and_of_the_measured_table() -> None:
    metadata = CueConflict.metadata
    assert f"| human observers | {metadata.human_reference['shape_bias']:.3f} |" in README
    _, shape, texture = NETWORKS["resnet50"]
    assert f"| ResNet-50 | {shape / (shape + texture):.3f} |" in README
    assert f"of the {metadata.rows['test']:,} images" in README
    rows = pd.read_parquet(CARDS / "classifier" / "results.parquet")
    chosen = (rows["metric"] == "shape_bias") & (rows["role"] == "value") & rows["variant"].eq("")
    (lite,) = rows[chosen & (rows["repo_id"] == "lite0")].to_dict("records")
    words = f"{lite['value']:.3f} [{lite['ci_low']:.3f}, {lite['ci_high']:.3f}]"
    assert f"| EfficientNet-Lite0 | {words} |" in README
    assert f"{lite['n']:.0f} conflicts among 320 of" in README
    page = text_of("docs/explanation/published-values.md")
    assert f"of the head, {lite['n']:.0f} conflicts | {words} |" in page


def test_the_intervals_of_the_imagenet_classifiers_are_in_their_table() -> None:
    rows = pd.read_parquet(CARDS / "classifier" / "results.parquet")[["value", "ci_low", "ci_high"]]
    known = {f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in rows.itertuples(index=False)}
    page = (CHECKOUT / "docs" / "explanation" / "published-values.md").read_text(encoding="utf-8")
    quoted = re.findall(r"\d\.\d{3} \[.*?\]", "".join(re.findall(r"(?m)^\|.*$", page)))
    assert len(quoted) > 30
    assert [one for one in quoted if one not in known] == []


def test_recipe_and_pages_quote_the_card_of_the_demo() -> None:
    card = (CARDS / "demo" / "README.md").read_text(encoding="utf-8")
    first, last, ends = re.findall(r"^    shape bias .*? (0\.\d+)  (0\.\d+)  (\[.+\])", README, re.MULTILINE)[
        0
    ]
    assert f"from {first} [" in card
    assert f"to {last} {ends} (n = 1,008) at epoch-010" in card
    lines = [line.strip("| ").split(" | ") for line in re.findall(r"(?m)^\| (?:revision|epoch-).*$", card)]
    titles, *rows = lines
    columns = {title: {row[0]: row[at] for row in rows} for at, title in enumerate(titles)}
    bias, accuracy = (
        columns["shape bias, embedded world (synthetic)"],
        columns["zero-shot accuracy, embedded world (synthetic)"],
    )
    head = recipe_path("demo").read_text(encoding="utf-8").replace("\n#", "")
    assert f"Shape bias {bias['epoch-002']} at epoch 2 and {bias['epoch-010']} at the end" in head
    assert f"zero-shot accuracy {accuracy['epoch-010']} (" in head
    said = f"is {bias['epoch-001']} at epoch 1, {bias['epoch-004']} at epoch 4 and {bias['epoch-010']} at epoch 10"
    assert said in text_of("docs/explanation/world.md")
    first, last = (bias[name].split(" ")[0] for name in ("epoch-001", "epoch-010"))
    page = text_of("docs/explanation/benchmarks/shape-bias.md")
    assert f"from {first} at epoch 1 to {last} at epoch 10" in page
    tutorial = prose_of(CHECKOUT / "docs/tutorial/demo.md")
    quoted = re.findall(r"^\| `(epoch-\d+)` \| (\S+) \| (\S+) to (\S+) \|$", tutorial, re.MULTILINE)
    assert len(quoted) == 4
    for name, value, low, high in quoted:
        assert bias[name] == f"{value} [{low}, {high}]"
