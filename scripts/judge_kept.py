"""Judge a part of the second study from what is kept of its runs; no image and no weight is needed.

python scripts/judge_kept.py model_cards/second-study/photographs PAGE
python scripts/judge_kept.py model_cards/second-study/worlds PAGE --runs runs/worlds

Call it once, after the last run. The kept runs of `keep_run.py` are first related: ``relations.parquet`` has how seeds
and arms share errors, and beside it lies what images contribute to the relations that the claims read. With ``--runs``,
the tables of all runs become one in the folder, with what images contribute to its verdicts. Then the script writes
``<folder>-verdicts.parquet`` beside the folder, and the page of all runs to the file PAGE.
"""

import argparse
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from keep_run import origin, recipe_of

from hf_clipdyn.bundled import study_path
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.evaluate import evaluate_relations
from hf_clipdyn.members import TABLE
from hf_clipdyn.report import read_study, write_report
from hf_clipdyn.report.study import Study
from hf_clipdyn.results.influences import combined_influences, read_influences, write_influences
from hf_clipdyn.results.read import read_results, write_results
from hf_clipdyn.schema import read_yaml
from hf_clipdyn.statistics import claims
from hf_clipdyn.statistics.verdicts import provenance, verdict_table, write_verdicts

CLAIMS = Path(claims.__file__).with_name("claims-2.yaml")
RELATIONS = "relations.parquet"
NOT_ON_THE_PAGE = {"photographs": "zero_shot"}
"""By recipe, what is in names of kinds, metrics and variants that its page leaves out. Captions name the classes of
CIFAR-10 and of the validation photographs, so nothing is zero-shot there; `noise` has the accuracy by prompts, too."""


def merge(runs: Path, folder: Path) -> None:
    """Keep the tables of all runs as one, with what images contribute to the verdicts, and where they come from."""
    tables = sorted(runs.glob(f"*/{TABLE}"))
    study = read_study(tables, claims=CLAIMS)
    assert study.verdicts  # reaching them asks for influences
    folder.mkdir(parents=True, exist_ok=True)
    write_results(study.results, folder / TABLE, provenance(study.results, study.evidence))
    study.influences.write(folder / TABLE)
    facts = json.dumps(origin(folder / TABLE, recipe_of(tables[0].parent)), indent=1)
    (folder / "origin.json").write_text(f"{facts}\n", encoding="utf-8")


def relate(tables: list[Path], folder: Path) -> None:
    """Keep how the errors of the runs relate, with what images contribute to what the claims read of it."""
    with tempfile.TemporaryDirectory() as scratch:
        related, asked = Path(scratch) / RELATIONS, Path(scratch) / TABLE
        relations = ("error_consistency",)
        evaluate_relations(EvaluationConfig(repo_id=("kept",), relations=relations, output=related), tables)
        study = read_study([*tables, related], claims=CLAIMS)
        assert study.verdicts  # reaching them asks for influences
        study.influences.write(asked)
        own = set(read_results(related).cells["cell"])
        known = read_influences(combined_influences(asked))
        shutil.copy(related, folder / RELATIONS)
    of_relations = {cell: numbers for cell, numbers in known.items() if cell in own}
    write_influences(combined_influences(folder / RELATIONS), of_relations)


def write_page(study: Study, recipe: str, page: Path) -> None:
    """The page of all runs, as a file."""
    title = read_yaml(study_path(recipe), nested=("defaults", "runs", "evaluation"))["title"]
    left_out = NOT_ON_THE_PAGE.get(recipe)
    drawn = tuple(
        one
        for one in study.trajectories
        if left_out is None or left_out not in f"{one.kind} {one.metric} {one.variant}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        shown = replace(study, trajectories=drawn, whole=study)  # the verdicts are those of all numbers
        shutil.copy(write_report(shown, scratch, figures=False, title=title), page)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="what is kept, named as the recipe")
    parser.add_argument("page", type=Path, help="file of the page")
    parser.add_argument("--runs", type=Path, help="folder of runs that are kept as one table")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    if arguments.runs is None:
        tables = sorted(folder.glob(f"*/{TABLE}"))
        relate(tables, folder)
        tables.append(folder / RELATIONS)
    else:
        merge(arguments.runs, folder)
        tables = [folder / TABLE]
    study = read_study(tables, claims=CLAIMS)
    facts = provenance(study.results, study.evidence)
    write_verdicts(verdict_table(study.verdicts), folder.with_name(f"{folder.name}-verdicts.parquet"), facts)
    write_page(study, folder.name, arguments.page)


if __name__ == "__main__":
    main()
