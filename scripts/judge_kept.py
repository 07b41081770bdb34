"""Judge a part of the second study from what is kept of its runs; no image and no weight is needed.

python scripts/judge_kept.py model_cards/second-study/photographs docs/explanation/second-study-photographs.html

Call it once, after the last run (`keep_run.py` keeps them). Where each run has a table of its own, it first relates
their errors and writes ``relations.parquet`` into the folder, with what images contribute to the relations that the
claims read. Then it writes ``<folder>-verdicts.parquet`` beside the folder, and the page of all runs.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from hf_clipdyn.bundled import study_path
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.evaluate import evaluate_relations
from hf_clipdyn.members import TABLE
from hf_clipdyn.report import read_study, write_report
from hf_clipdyn.report.study import Study
from hf_clipdyn.results.influences import combined_influences, read_influences, write_influences
from hf_clipdyn.results.read import read_results
from hf_clipdyn.schema import read_yaml
from hf_clipdyn.statistics import claims
from hf_clipdyn.statistics.verdicts import provenance, verdict_table, write_verdicts

CLAIMS = Path(claims.__file__).with_name("claims-2.yaml")
RELATIONS = "relations.parquet"


def judged(tables: list[Path], folder: Path, scratch: Path) -> Study:
    """The study of these tables and, of several, of how their errors relate, which are kept in the folder."""
    if len(tables) == 1:
        return read_study(tables, claims=CLAIMS)
    related = scratch / RELATIONS
    relations = ("error_consistency",)
    evaluate_relations(EvaluationConfig(repo_id=("kept",), relations=relations, output=related), tables)
    study = read_study([*tables, related], claims=CLAIMS)
    assert study.verdicts  # reaching them asks for influences
    study.influences.write(scratch / "asked.parquet")
    asked = read_influences(combined_influences(scratch / "asked.parquet"))
    own = set(read_results(related).cells["cell"])
    shutil.copy(related, folder / RELATIONS)
    of_relations = {cell: numbers for cell, numbers in asked.items() if cell in own}
    write_influences(combined_influences(folder / RELATIONS), of_relations)
    return read_study([*tables, folder / RELATIONS], claims=CLAIMS)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, help="of the kept runs or of one table of all, named as the recipe"
    )
    parser.add_argument("page", type=Path, help="file of the page")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    tables = sorted(folder.glob(f"*/{TABLE}")) or [folder / TABLE]
    with tempfile.TemporaryDirectory() as scratch:
        study = judged(tables, folder, Path(scratch))
        facts = provenance(study.results, study.evidence)
        write_verdicts(
            verdict_table(study.verdicts), folder.with_name(f"{folder.name}-verdicts.parquet"), facts
        )
        title = read_yaml(study_path(folder.name), nested=("defaults", "runs", "evaluation"))["title"]
        page = write_report(study, Path(scratch) / "page", figures=False, title=title)
        shutil.copy(page, arguments.page)


if __name__ == "__main__":
    main()
