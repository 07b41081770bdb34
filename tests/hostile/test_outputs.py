"""No command writes over what it reads, nor over a file of another kind, nor half of a file."""

import os
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile

import datasets
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hostile.harness import Run, Write, files_up_to
from official_trees.images import image_bytes
from official_trees.trees import TREES
from result_rows import cell
from transformers import CLIPImageProcessor

from hf_clipdyn.data.pixels import decode_pixels
from hf_clipdyn.data.prepare import prepare_dataset
from hf_clipdyn.errors import ClipDynError, ConfigError
from hf_clipdyn.files import check_output, write_atomically
from hf_clipdyn.report import read_study, write_cards, write_report
from hf_clipdyn.report.figures import write_figures
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Row
from hf_clipdyn.results.table import load, write_results
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.statistics.claims import EMBEDDED
from hf_clipdyn.statistics.verdicts import verdict_table, write_verdicts
from hf_clipdyn.study import run_study


def test_a_device_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        write_atomically(tmp_path / "pipe", "text")
    with pytest.raises(ConfigError, match="is not a page"):
        check_output(tmp_path / "pipe", "a page", lambda _: True)
    assert [path.is_fifo() for path in tmp_path.iterdir()] == [True]


JUDGE = "report --print verdicts --claims claims.yaml in.parquet"
VERDICTS, RESULTS = "not a table of verdicts", "not a table of results"
CALLS = [
    ("evaluate me/run -o in.trials/a.parquet", RESULTS),
    ("evaluate me/run -o in.cells/b.parquet", "is one cell of another table"),
    ("evaluate me/run -o mine.parquet", RESULTS),
    ("report in.parquet -o site", "not a page of hf_clipdyn"),
    ("share in.parquet -o shared", "not a page of hf_clipdyn"),
    (f"{JUDGE} -o claims.yaml", VERDICTS),
    (f"{JUDGE} -o hard.parquet", VERDICTS),
    (f"{JUDGE} -o mine.parquet", VERDICTS),
]


@pytest.mark.parametrize(("call", "says"), CALLS)
def test_a_command_writes_neither_over_what_it_reads_nor_over_other_files(
    call: str, says: str, clipdyn: Run, tmp_path: Path, write_table: Write
) -> None:
    work = tmp_path / "work"
    write_table(work / "in.parquet")
    (work / "hard.parquet").hardlink_to(work / "in.parquet")
    for name in ("site", "shared/me--run/report", "in.trials", "in.cells"):
        (work / name).mkdir(parents=True)
    for name in ("mine.parquet", "in.trials/a.parquet"):
        pd.DataFrame({"claim": [1], "item": [0]}).to_parquet(work / name)
    one_cell = pq.read_table(work / "in.parquet").replace_schema_metadata({b"hf_clipdyn.cell": b"{}"})
    pq.write_table(one_cell, work / "in.cells" / "b.parquet")
    for name in ("site/index.html", "shared/me--run/report/index.html"):
        (work / name).write_text("mine")
    copyfile(EMBEDDED, work / "claims.yaml")
    before = _files(work)
    assert says in clipdyn(*call.split()).sentence
    assert _files(work) == before


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["results.parquet", "verdicts.parquet"])
def test_a_study_is_refused_before_its_runs_if_its_tables_would_replace_others(
    name: str, tmp_path: Path
) -> None:
    pd.DataFrame({"claim": [1], "item": [0]}).to_parquet(tmp_path / name)
    with pytest.raises(ConfigError, match=f"{name} exists and is not (a|the) table of"):
        run_study("study-quick", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def _prepared(_: Path, out: Path) -> None:
    given = out.with_name("official")
    if not given.exists():
        given.mkdir()
        TREES["osie"](given)
    prepare_dataset("osie", out / "osie", data_dir=given, cache_dir=out.with_name("cache"))


def _decoded(_: Path, out: Path) -> None:
    rows = [{"bytes": image_bytes(".png", colour=number), "path": None} for number in range(2)]
    column = datasets.Dataset.from_dict({"image": rows}).cast_column("image", datasets.Image())
    decode_pixels(column, CLIPImageProcessor(), cache_dir=out, disable_tqdm=True)


def _evaluated(table: Path, out: Path) -> None:
    trials = pd.DataFrame({"split": "test", "row": [0], "item": [0]})
    one = cell()
    CellStore(out / "results.parquet").write(
        one, [Row(**vars(one), metric="top1", value=0.5)], trials, Vocabulary()
    )


Writer = Callable[[Path, Path], object]
REPLACED: dict[str, Writer] = {
    "card": lambda table, out: write_cards(table, out),
    "page": lambda table, out: write_report(table, out, stimuli="none", figures=False),
    "figure": lambda table, out: write_figures(read_study(table), out, formats=("png", "svg", "pdf")),
    "results": lambda table, out: write_results(load(table), out / "results.parquet"),
    "verdicts": lambda _, out: write_verdicts(verdict_table([]), out / "verdicts.parquet"),
    "cell": _evaluated,
}
NEW: dict[str, Writer] = {"cell": _evaluated, "data set": _prepared, "pixels": _decoded}


@pytest.mark.filterwarnings("ignore::hf_clipdyn.data.metadata.SubsetWarning")
@pytest.mark.parametrize(
    ("writer", "exists"),
    [
        pytest.param(writer, exists, id=f"{name}, {'again' if exists else 'new'}")
        for writers, exists in ((REPLACED, True), (NEW, False))
        for name, writer in writers.items()
    ],
)
def test_on_a_full_disk_every_file_is_as_it_was_nothing_is_left_and_the_repeat_works(
    writer: Writer, exists: bool, tmp_path: Path, write_table: Write
) -> None:
    table, out = write_table(tmp_path / "in.parquet"), tmp_path / "out"
    writer(table, out if exists else tmp_path / "elsewhere")
    before = _files(out)
    assert bool(before) == exists
    with files_up_to(100), pytest.raises((ClipDynError, OSError), match="too large"):
        writer(table, out)
    assert _files(out) == before
    writer(table, out)
    assert _files(out)
