"""Counts, defaults and lists in pages and help texts are those of the declarations and of the committed tables."""

import re
import shlex

import torch
import yaml
from printed_blocks import CHECKOUT, blocks_of
from pyarrow import parquet
from transformers import CLIPModel

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.benchmarks.places import DISTANCES
from hf_clipdyn.benchmarks.registry import kinds, relations, select_benchmarks
from hf_clipdyn.bundled import metric_names, recipe_names, recipe_path, study_path
from hf_clipdyn.models.sizes import MODEL_SIZES, clip_config
from hf_clipdyn.models.tokenizers import stand_in_tokenizer
from hf_clipdyn.training import device, images, streamed
from hf_clipdyn.training.config import TrainingConfig

NUMBERS = {10: "ten", 12: "twelve", 15: "fifteen", 30: "thirty"}
OWN_TOKENIZER = [name for name, size in MODEL_SIZES.items() if size.vocab_size is not None]
HELP = {name: " ".join(str(field.description).split()) for name, field in TrainingConfig.model_fields.items()}


def page_lines(path: str) -> str:
    return (CHECKOUT / path).read_text(encoding="utf-8")


def page(path: str) -> str:
    return " ".join(page_lines(path).split())


def listed(names: list[str]) -> str:
    *first, last = (f"`{one}`" for one in names)
    return f"{', '.join(first)} and {last}"


def test_the_runs_of_the_study_are_counted_as_in_its_table() -> None:
    file = CHECKOUT / "model_cards/study/results.parquet"
    runs = parquet.read_table(file, columns=["repo_id", "arm"]).to_pandas().drop_duplicates()
    arms = runs.loc[runs["arm"] != "", "arm"]
    main, other, kinds_of_arm = (NUMBERS[n] for n in (len(runs) - len(arms), len(arms), arms.nunique()))
    assert f"of {main} runs and {other} of arms over" in page("docs/explanation/study.md")
    card = page("model_cards/study/README.md").lower()
    assert f"{main} runs of clip" in card
    assert f"{other} runs of {kinds_of_arm} control and ablation arms" in card


def test_the_table_of_sizes_has_every_scale_with_its_images_tokenizer_and_parameters() -> None:
    rows = re.findall(r"\| (`micro`|`small`|`vit-b-32`)(.*?) \|\n", page_lines("docs/how-to/train.md"))
    found = {}
    for first, rest in rows:
        names, side, tokenizer, counts = (first + rest).split(" | ")
        for name, count in zip(names.split(", "), counts.split(", "), strict=True):
            found[name.strip("`")] = (side, tokenizer, count)
    expected = {}
    for name, size in MODEL_SIZES.items():
        own = "trained on your captions" if size.vocab_size else "CLIP's own"
        millions = parameters(name) / 1e6
        count = f"{millions:.0f}" if millions > 100 else f"{millions:.1f}"
        expected[name] = (f"{size.image_size} x {size.image_size} pixels", own, count)
    assert found == expected


def parameters(name: str) -> int:
    """With the largest vocabulary."""
    size = MODEL_SIZES[name]
    if size.parameters is not None:
        return size.parameters
    tokenizer = stand_in_tokenizer(vocab_size=size.vocab_size, context_length=size.context_length)
    with torch.device("meta"):
        return sum(one.numel() for one in CLIPModel(clip_config(size, tokenizer)).parameters())


def test_help_and_pages_name_the_scales_that_train_a_tokenizer_and_those_of_one_thread() -> None:
    *first, last = MODEL_SIZES
    assert f"{', '.join(first)} or {last}." in HELP["scale"]
    count = f"on the first {streamed._TOKENIZER_CAPTIONS:,} captions."
    assert f"{listed(OWN_TOKENIZER)} train their tokenizer {count}".replace("`", "") in HELP["streaming"]
    assert f"{listed(OWN_TOKENIZER)} train their tokenizer {count}" in page("docs/how-to/train-on-shards.md")
    assert (
        f"Default: 1 for {' and '.join(device._ON_ONE_THREAD)}, else the free cores." in HELP["num_threads"]
    )
    assert f"{listed(list(device._ON_ONE_THREAD))} use one thread" in page("docs/how-to/train-options.md")


def test_the_pages_say_how_many_broken_images_stop_a_run() -> None:
    most = f"{images._MOST_BROKEN:.0%}".replace("%", " %")
    assert f"The run stops if they exceed {most}." in page("docs/how-to/train.md")
    most = f"{streamed._MOST_BROKEN:.0%}".replace("%", " %")
    said = (
        f"stops if more than {most} are broken; each process decides this from {streamed._FEW:,} samples on."
    )
    assert said in page("docs/how-to/train-on-shards.md")


def test_the_page_names_the_recipes_of_the_package() -> None:
    (said,) = re.findall(r"The package has the recipes (.*?)\. They", page("docs/how-to/train.md"))
    assert sorted(re.findall(r"`(.*?)`", said)) == recipe_names()


def test_the_page_names_the_kinds_that_compare_images_by_a_distance() -> None:
    variants = {name: set(kind.terms.variants) for name, kind in kinds().items()}
    by_all = {name for name, one in variants.items() if set(DISTANCES) <= one}
    by_cosine = {name for name, one in variants.items() if "cosine" in one}
    text = page("docs/explanation/benchmarks/index.md")
    (said,) = re.findall(r"Four kinds \((.*?)\) compare images by these three distances\.", text)
    assert set(re.findall(r"`(.*?)`", said)) == by_all
    assert len(by_all) == 4
    (rest,) = re.findall(r"three distances\. (.*?) The column", text)
    assert set(re.findall(r"`(.*?)`", rest)) == by_cosine - by_all


def test_the_pages_name_the_kinds_that_are_scored_with_two_sets_of_texts() -> None:
    asking = {name for name, kind in kinds().items() if kind.classes.__func__ is not Kind.classes.__func__}
    texts = {
        "docs/explanation/how-evaluation-runs.md": r"that ask for classes \((.*?)\) can be scored with two sets",
    }
    for path, sentence in texts.items():
        (said,) = re.findall(sentence, page(path))
        assert set(re.findall(r"`(.*?)`", said)) == asking


def test_the_page_of_metrics_lists_the_modules() -> None:
    table = page_lines("docs/how-to/use-a-metric.md").partition("## Which metric for which data\n")[2]
    listed_there = re.findall(r"^\| `(\w+)` \|", table.partition("These ")[0], re.MULTILINE)
    assert sorted(listed_there) == sorted(metric_names())
    assert f"These {NUMBERS[len(metric_names())]} are modules too." in table


def test_the_page_of_relations_names_all() -> None:
    names = re.findall(r"^\| `(\w+)` \|", page_lines("docs/how-to/relate-revisions.md"), re.MULTILINE)
    assert set(relations()) <= set(names)


def test_the_commands_of_the_full_study_measure_the_benchmarks_of_its_file() -> None:
    path = CHECKOUT / "docs/how-to/measure-public-checkpoints.md"
    study = set(
        yaml.safe_load(study_path("scaling-laws").read_text(encoding="utf-8"))["evaluation"]["benchmarks"]
    )
    table = re.findall(r"^\|.*?\| `(\w+/\w+)` \|", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(table) == study
    lines = [
        line for block in blocks_of(path) for line in block.commands if line.startswith("clipdyn evaluate")
    ]
    assert len(lines) == 2
    for words in map(shlex.split, lines):
        suite, wanted = (words[words.index(f"--{name}") + 1] for name in ("suite", "benchmarks"))
        assert {one.name for one in select_benchmarks(suite, wanted.split(","))} == study


def test_recipe_and_pages_quote_the_card_of_the_demo() -> None:
    table = re.findall(
        r"^\| (revision|epoch-\d+) \| (.*) \|$", page_lines("model_cards/demo/README.md"), re.MULTILINE
    )
    (_, titles), *rows = table
    columns = {
        title: {name: row.split(" | ")[at] for name, row in rows}
        for at, title in enumerate(titles.split(" | "))
    }
    bias, accuracy = (
        columns["shape bias, embedded world (synthetic)"],
        columns["zero-shot accuracy, embedded world (synthetic)"],
    )
    head = recipe_path("demo").read_text(encoding="utf-8").replace("\n#", "")
    assert f"Shape bias {bias['epoch-002']} at epoch 2 and {bias['epoch-010']} at the end" in head
    assert f"zero-shot accuracy {accuracy['epoch-010']} (" in head
    said = f"is {bias['epoch-001']} at epoch 1, {bias['epoch-004']} at epoch 4 and {bias['epoch-010']} at epoch 10"
    assert said in page("docs/explanation/world.md")
    first, last = (bias[name].split(" ")[0] for name in ("epoch-001", "epoch-010"))
    assert f"from {first} at epoch 1 to {last} at epoch 10" in page(
        "docs/explanation/benchmarks/shape-bias.md"
    )
    quoted = re.findall(
        r"^\| `(epoch-\d+)` \| (\S+) \| (\S+) to (\S+) \|$", page_lines("docs/tutorial/demo.md"), re.MULTILINE
    )
    assert len(quoted) == 4
    for name, value, low, high in quoted:
        assert bias[name] == f"{value} [{low}, {high}]"
