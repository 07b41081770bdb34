"""What a newcomer reads first: README, gallery, status and glossary say what the declarations and the tables say."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from printed_blocks import CHECKOUT, blocks_of

from hf_clipdyn.benchmarks.registry import kinds, relations
from hf_clipdyn.benchmarks.shape_scores import NETWORKS
from hf_clipdyn.bundled import recipe_names, recipe_path
from hf_clipdyn.data.sets.cue_conflict import CueConflict
from hf_clipdyn.report.charts import charts
from hf_clipdyn.results.row import ROLES

DOCS = CHECKOUT / "docs"
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
GALLERY = (DOCS / "gallery.md").read_text(encoding="utf-8")
PICTURES = DOCS / "images" / "gallery"
STATUS = (DOCS / "explanation" / "status.md").read_text(encoding="utf-8")
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
TEXTS = [
    *PAGES,
    *CHECKOUT.glob("model_cards/**/*.md"),
    *CHECKOUT.glob("model_cards/*.jinja"),
    *CHECKOUT.glob("metrics/*/README.md"),
    *(
        path
        for path in (CHECKOUT / "hf_clipdyn").rglob("*")
        if path.suffix in (".py", ".js", ".jinja", ".yaml") and path.parent.name != "vendor"
    ),
]
"""What users read, help and page included."""


# --- the gallery ----------------------------------------------------------------------------------------


def captions() -> dict[str, str]:
    """The pictures of the gallery, with their captions."""
    return dict(re.findall(r"^!\[[^\]]+\]\((.+)\)\n\n\*(.+)\*$", GALLERY, re.MULTILINE))


def test_the_gallery_has_a_place_for_every_kind_relation_and_chart() -> None:
    headings = {part: re.findall(r"^### (\w+)", text, re.MULTILINE) for part, text in sections(GALLERY)}
    assert set(headings["Charts"]) == {"summary", *charts()}
    assert set(headings["Benchmarks"]) == set(kinds())
    assert set(headings["Relations"]) == set(relations())


def sections(text: str) -> Iterator[tuple[str, str]]:
    """The parts of a page by their headings of the second level."""
    for part in text.split("\n## ")[1:]:
        title, _, rest = part.partition("\n")
        yield title, rest


def test_every_picture_of_the_gallery_is_shown_with_a_caption_and_all_together_are_small() -> None:
    shown = {DOCS / place for place in captions()}
    assert len(shown) == GALLERY.count("![")
    files = set(PICTURES.glob("*"))
    assert files <= shown
    assert [path for path in shown if not path.is_file()] == []
    assert sum(path.stat().st_size for path in files) <= 2_000_000
    assert (PICTURES / "first-screen.webp").stat().st_size <= 200_000


def test_a_picture_of_the_embedded_world_is_said_to_be_synthetic() -> None:
    """Anything else shows real images, published values or drawn gratings."""
    others = re.compile(r"Real images|Published values|gratings are drawn")
    assert [
        name for name, words in captions().items() if "synthetic" not in words and not others.search(words)
    ] == []
    drawn = {f"images/gallery/{path.name}" for path in PICTURES.glob("*-procedural.webp")}
    assert [name for name in drawn if "synthetic" not in captions()[name]] == []


def test_the_first_screen_is_a_photograph_of_a_window() -> None:
    with Image.open(PICTURES / "first-screen.webp") as image:
        assert image.width / image.height > 1
        assert image.width >= 1000
    assert "docs/images/gallery/first-screen.webp" in README
    assert "(images/gallery/first-screen.webp)" in (DOCS / "index.md").read_text(encoding="utf-8")


# --- README ---------------------------------------------------------------------------------------------


def test_what_readme_prints_of_the_demo_is_in_its_card() -> None:
    card = (CHECKOUT / "model_cards" / "demo" / "README.md").read_text(encoding="utf-8")
    first, last, low, high = re.findall(
        r"^    shape bias .*? (0\.\d+)  (0\.\d+)  \[(.+), (.+)\]", README, re.MULTILINE
    )[0]
    assert f"from {first} [" in card
    assert f"to {last} [{low}, {high}] (n = 1,008) at epoch-010" in card


@pytest.mark.parametrize(
    ("page", "options"),
    [("README.md", ["--benchmarks", "shape_bias/procedural"]), ("docs/reference/commands/report.md", [])],
)
def test_printed_numbers_of_the_demo_are_those_of_its_committed_table(
    page: str,
    options: list[str],
    clipdyn: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Line by line and digit by digit."""
    monkeypatch.delenv("COLUMNS", raising=False)  # the width of whoever started the tests
    (said,) = (
        one.text for one in blocks_of(CHECKOUT / page) if re.search(r"^ +metric +course", one.text, re.M)
    )
    table = CHECKOUT / "model_cards" / "demo" / "results.parquet"
    code, printed, _ = clipdyn("report", table, "--print", "numbers", *options)
    assert code == 0
    rest = iter(printed.splitlines())
    lines = [line for line in said.splitlines() if line.strip() != "…" and not line.startswith("$ ")]
    assert [line for line in lines if line not in rest] == []


def test_readme_has_the_values_of_the_declarations_and_of_the_measured_table() -> None:
    metadata = CueConflict.metadata
    assert f"| human observers | {metadata.human_reference['shape_bias']:.3f} |" in README
    _, shape, texture = NETWORKS["resnet50"]
    assert f"| ResNet-50 | {shape / (shape + texture):.3f} |" in README
    assert f"(2019, {metadata.licence})" in " ".join(README.split())
    assert all(
        part in README for part in ("bethgelab/model-vs-human/releases/download/v0.1/cue-conflict.tar.gz",)
    )
    assert "v0.1" in metadata.where
    assert metadata.where.endswith("cue-conflict.tar.gz")
    assert f"of the {metadata.rows['test']:,} images" in README
    rows = pd.read_parquet(CHECKOUT / "model_cards" / "classifier" / "results.parquet")
    chosen = (rows["metric"] == "shape_bias") & (rows["role"] == "value") & rows["variant"].eq("")
    (lite,) = rows[chosen & (rows["repo_id"] == "lite0")].to_dict("records")
    words = f"{lite['value']:.3f} [{lite['ci_low']:.3f}, {lite['ci_high']:.3f}]"
    assert f"| EfficientNet-Lite0 | {words} |" in README
    assert f"{lite['n']:.0f} conflicts among 320 of" in README
    page = (DOCS / "explanation" / "published-values.md").read_text(encoding="utf-8")
    assert f"of the head, {lite['n']:.0f} conflicts | {words} |" in page


def test_readme_says_what_it_is_then_how_to_start_then_why_and_what_was_never_run() -> None:
    first = README.split("\n\n")[1]
    for word in ("CLIP training", "revision", "benchmarks from human vision science"):
        assert word in " ".join(first.split())
    parts = ("## Start", "## Measure your own checkpoints", "## Why not", "**Never run**", "## Learn more")
    places = [README.index(part) for part in parts]
    assert places == sorted(places)


# --- status ---------------------------------------------------------------------------------------------


def test_the_recipes_that_status_calls_never_run_are_those_whose_cost_was_not_measured() -> None:
    (said,) = re.findall(r"^- the recipes (.*?): ", STATUS, re.MULTILINE)
    unmeasured = [
        name for name in recipe_names() if "not measured" in recipe_path(name).read_text(encoding="utf-8")
    ]
    assert sorted(re.findall(r"`(.*?)`", said)) == sorted(unmeasured)


def test_readme_and_index_name_what_status_says_was_never_run() -> None:
    """Status has the list, with the short names in bold."""
    listed = STATUS.partition("## What was never run")[2].partition("\n## ")[0]
    names = sorted(re.findall(r"\*\*(.+?)\*\*", listed))
    for text in (README, (DOCS / "index.md").read_text(encoding="utf-8")):
        (said,) = re.findall(r"\*\*Never run\*\*: (.*?)\.(?: |$)", " ".join(text.split()))
        assert sorted(said.split(", ")) == names


def test_status_counts_the_runs_of_the_committed_tables() -> None:
    def runs(table: str) -> pd.DataFrame:
        path = CHECKOUT / "model_cards" / table
        return pd.read_parquet(path, columns=["repo_id", "arm"]).drop_duplicates()

    study, repeated = runs("study/results.parquet"), runs("study/repeated.parquet")
    main = int((study["arm"] == "").sum())
    assert f": {main} runs, {len(study) - main} of its arms, and the {len(repeated)} once more (" in STATUS
    assert f"on photographs: {len(runs('real-study/results.parquet'))} runs (" in STATUS


def test_what_was_never_tried_is_said_on_the_page_of_status_alone() -> None:
    words = re.compile(
        r"never tried|not been tried|have run (?:neither|none)|have not tested|nothing was tested", re.I
    )
    others = [page for page in PAGES if page.name not in ("status.md", "install.md")]
    assert [page.name for page in others if words.search(page.read_text(encoding="utf-8"))] == []


def test_contributing_names_the_tool_of_the_site_that_ends() -> None:
    dependencies = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "mkdocs-material" in json.dumps(dependencies["project"]["optional-dependencies"]["docs"])
    assert "mkdocs-material" in (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")


# --- words ----------------------------------------------------------------------------------------------


def glossary() -> dict[str, str]:
    text = (DOCS / "reference" / "glossary.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^- \*\*(.+?)\*\*: (.+)$", text, re.MULTILINE))


WORDS = ("study", "claim", "recipe", "Hub", "Space", "card", "linear probe", "projection", "relation")
MORE_WORDS = (
    "revision",
    "embedded world",
    "page",
    "scale",
    "people",
    "subset",
    "run",
    "suite",
    "probe",
    "verdict",
)


def test_the_glossary_has_each_word_of_page_and_help_once_and_in_order() -> None:
    words = list(glossary())
    assert [word for word in (*WORDS, *MORE_WORDS) if word not in words] == []
    named = {part for word in words for part in word.split(", ")}
    assert [role for role in ROLES if role.replace("_", " ") not in named] == []
    plain = [word.replace("δ, ", "").lower() for word in words]
    assert plain == sorted(plain)
    assert len(set(plain)) == len(plain)


def test_each_word_of_the_glossary_is_used_elsewhere() -> None:
    text = " ".join(path.read_text(encoding="utf-8") for path in TEXTS if path.name != "glossary.md").lower()
    text = " ".join(text.split())
    parts = [part for word in glossary() for part in re.sub(r" \(.*\)", "", word).split(", ")]
    assert [
        part for part in parts if part.lower() not in text and part.lower().replace(" ", "_") not in text
    ] == []


@pytest.mark.parametrize(
    "phrase",
    [
        r"synthetic world\b",
        r"procedural world",
        r"\bsub-sets?\b",
        r"\d ?× ?\d",
        r"(?<![\w`_])(?!0x)\d+x\d+(?![\w`_])",
    ],
)
def test_one_thing_has_one_name(phrase: str) -> None:
    found = []
    for path in TEXTS:
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"`[^`\n]*`", "", text) if path.suffix == ".md" else text
        found += [
            f"{path.relative_to(CHECKOUT)}: {match[0]}" for match in re.finditer(phrase, text, re.IGNORECASE)
        ]
    assert found == []


BRITISH = re.compile(
    r"colour|favour|behaviour|grey|centre|metre|licence|analys|catalogu|neighbour|labell|modell|[a-z]is(?:e|ed|ing|ation)s?$"
)


def test_names_of_options_are_spelled_as_in_the_libraries_around_them() -> None:
    """American, as `--color_jitter` and `--license` are."""
    options = json.loads(
        Path(__file__).with_name("goldens").joinpath("options.json").read_text(encoding="utf-8")
    )
    names = {
        part
        for command in options.values()
        for name in command
        for part in re.split(r"[-_]+", name.strip("-"))
    }
    assert (
        sorted(name for name in names if BRITISH.search(name) and name not in ("noise", "rise", "precise"))
        == []
    )
