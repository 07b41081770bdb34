"""The package as a whole: how light it is, what it is called, and how one cites it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import hf_clipdyn
from hf_clipdyn.cli import command_class, command_names
from hf_clipdyn.errors import ConfigError

NAMES = """
from hf_clipdyn.benchmarks.registry import kinds, parse_benchmark, suite, suite_names, vocabulary
from hf_clipdyn.data.registry import dataset_metadata, dataset_names
[dataset_metadata(name) for name in dataset_names()]
vocabulary(parse_benchmark(one) for name in suite_names() for one in suite(name))
assert kinds()
"""
COMMANDS = """
from hf_clipdyn.cli import main
for argv in {calls!r}:
    try: main(argv)
    except SystemExit as stop: assert stop.code in (0, 2), argv
"""
USUAL = [
    *([], ["--help"], ["--version"], ["x"], ["train", "--learning_rate", "x"]),
    *(["evaluate", "me/run", f"--noise-{name}", "x"] for name in ("sigmas", "conditions")),
    *([name, word] for name in command_names() for word in ("--help", "--help-all", "--nonsense=1")),
]
WRONG = [
    ["evaluate", "me/run", "--store", ".", "--output", "results.parquet", *wrong, *more]
    for wrong in (["--benchmarks", "nois/cifar10"], ["--relations", "weight"])
    for more in ([], ["--dry-run"])
]
MODELS = {"accelerate", "torch", "transformers"}
TABLES = {"datasets", "pandas", "scipy"}


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import hf_clipdyn; dir(hf_clipdyn)", MODELS | TABLES | {"evaluate", "matplotlib"}),
        ("import hf_clipdyn.preprocess", MODELS - {"accelerate"}),
        (NAMES, MODELS),
        (COMMANDS.format(calls=USUAL), MODELS | TABLES | {"numpy"}),
        (COMMANDS.format(calls=WRONG), MODELS),
    ],
    ids=["package", "preprocess", "names of benchmarks and data sets", "help", "wrong benchmark or relation"],
)
def test_what_computes_nothing_loads_no_heavy_library(code: str, heavy: set[str]) -> None:
    program = f"{code}\nimport sys\nprint('loaded:', *sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_what_is_made_of_a_run_alone_is_written_into_its_folder(tmp_path: Path) -> None:
    assert command_class("report").read([str(tmp_path)]).output == tmp_path / "report"
    assert command_class("share").read([str(tmp_path)]).output == tmp_path / "share"
    assert command_class("report").read([str(tmp_path), "--print", "numbers"]).output is None
    assert command_class("share").read([str(tmp_path), "--push-to-hub"]).output is None
    with pytest.raises(ConfigError, match="--output is missing"):
        command_class("report").read([str(tmp_path), str(tmp_path)])


def test_every_file_that_names_the_version_names_the_same_one_and_the_citation_has_what_its_format_requires(
    checkout: Path,
) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((checkout / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (checkout / "CHANGELOG.md").read_text(encoding="utf-8")
    (newest, date), *_ = re.findall(r"^## (\d\S*) \((\d{4}-\d\d-\d\d)\)$", changes, re.MULTILINE)
    assert {project["version"], citation["version"], newest} == {hf_clipdyn.__version__}
    assert (citation["date-released"], citation["license"]) == (date, project["license"])
    assert citation["cff-version"] == "1.2.0"
    assert "message" in citation
    for work in (citation, *citation["references"]):
        assert {"authors", "title"} <= set(work)
        assert all(set(author) in ({"name"}, {"family-names", "given-names"}) for author in work["authors"])
