"""Numbers that README and the page of status print are those of the committed tables and of the declarations."""

import re
from collections.abc import Callable

import pandas as pd
import pytest
from printed_blocks import CHECKOUT, blocks_of

from hf_clipdyn.benchmarks.shape_scores import NETWORKS
from hf_clipdyn.data.sets.cue_conflict import CueConflict

CARDS = CHECKOUT / "model_cards"
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def test_what_readme_prints_of_the_demo_is_in_its_card() -> None:
    card = (CARDS / "demo" / "README.md").read_text(encoding="utf-8")
    first, last, low, high = re.findall(
        r"^    shape bias .*? (0\.\d+)  (0\.\d+)  \[(.+), (.+)\]", README, re.MULTILINE
    )[0]
    assert f"from {first} [" in card
    assert f"to {last} [{low}, {high}] (n = 1,008) at epoch-010" in card


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
    code, printed, _ = clipdyn("report", CARDS / "demo" / "results.parquet", "--print", "numbers", *options)
    assert code == 0
    rest = iter(printed.splitlines())
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
    page = (CHECKOUT / "docs" / "explanation" / "published-values.md").read_text(encoding="utf-8")
    assert f"of the head, {lite['n']:.0f} conflicts | {words} |" in page


def test_status_counts_the_runs_of_the_committed_tables() -> None:
    def runs(table: str) -> pd.DataFrame:
        return pd.read_parquet(CARDS / table, columns=["repo_id", "arm"]).drop_duplicates()

    status = (CHECKOUT / "docs" / "explanation" / "status.md").read_text(encoding="utf-8")
    study, repeated = runs("study/results.parquet"), runs("study/repeated.parquet")
    main = int((study["arm"] == "").sum())
    assert f": {main} runs, {len(study) - main} of its arms, and the {len(repeated)} once more (" in status
    assert f"on photographs: {len(runs('real-study/results.parquet'))} runs (" in status


def test_readme_and_index_name_what_status_says_was_never_run() -> None:
    """Status has the list, with the short names in bold."""
    status = (CHECKOUT / "docs" / "explanation" / "status.md").read_text(encoding="utf-8")
    listed = status.partition("## What was never run")[2].partition("\n## ")[0]
    names = sorted(re.findall(r"\*\*(.+?)\*\*", listed))
    for text in (README, (CHECKOUT / "docs" / "index.md").read_text(encoding="utf-8")):
        (said,) = re.findall(r"\*\*Never run\*\*: (.*?)\.(?: |$)", " ".join(text.split()))
        assert sorted(said.split(", ")) == names
