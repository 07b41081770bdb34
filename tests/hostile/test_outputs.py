"""No command writes over what it reads, nor over a file of another kind, nor half of a file."""

import os
from collections.abc import Callable
from pathlib import Path

import datasets
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hostile.harness import Run, Write, call, files_up_to, small_disk
from matplotlib.figure import Figure
from official_trees.images import image_bytes
from official_trees.trees import TREES
from result_rows import cell
from transformers import CLIPImageProcessor

from hf_clipdyn.data.pixels import decode_pixels
from hf_clipdyn.data.prepare import prepare_dataset
from hf_clipdyn.errors import ClipDynError, ConfigError
from hf_clipdyn.files import check_output, write_atomically
from hf_clipdyn.report import write_cards, write_report
from hf_clipdyn.report.figures import FigureFolder
from hf_clipdyn.report.page import write
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Row
from hf_clipdyn.results.table import load, write_results
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.statistics.verdicts import verdict_table, write_verdicts
from hf_clipdyn.study import Study


def test_a_device_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        write_atomically(tmp_path / "pipe", "text")
    with pytest.raises(ConfigError, match="is not a page"):
        check_output(tmp_path / "pipe", "a page", lambda _: True)
    assert [path.is_fifo() for path in tmp_path.iterdir()] == [True]


JUDGE = "report --print verdicts --claims claims.yaml"
VERDICTS, RESULTS = "not a table of verdicts", "not a table of results"
CALLS = {
    "evaluate over trials": ("evaluate me/run -o in.trials/a.parquet", RESULTS),
    "report over a page of somebody": ("report in.parquet -o site", "not a page of hf_clipdyn"),
    "verdicts over its input": (f"{JUDGE} in.parquet -o in.parquet", VERDICTS),
    "verdicts over its claims": (f"{JUDGE} in.parquet -o claims.yaml", VERDICTS),
    "verdicts over its input by a link": (f"{JUDGE} in.parquet -o link.parquet", VERDICTS),
    "verdicts over its input by a hard link": (f"{JUDGE} in.parquet -o hard.parquet", VERDICTS),
    "verdicts over the table of a folder": (f"{JUDGE} run -o run/results.parquet", VERDICTS),
    "verdicts over a table of somebody": (f"{JUDGE} in.parquet -o mine.parquet", VERDICTS),
    "verdicts over a text": (f"{JUDGE} in.parquet -o notes.txt", VERDICTS),
    "evaluate over a table of somebody": ("evaluate me/run -o mine.parquet", RESULTS),
    "evaluate over a cell": ("evaluate me/run -o in.cells/b.parquet", "is one cell of another table"),
    "share over a page of somebody": ("share in.parquet -o shared", "not a page of hf_clipdyn"),
}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        pytest.param(*case, id=name, marks=[] if number < 3 else pytest.mark.slow)
        for number, (name, case) in enumerate(CALLS.items())
    ],
)
def test_a_command_writes_neither_over_what_it_reads_nor_over_other_files(
    call: str, says: str, clipdyn: Run, tmp_path: Path, write_table: Write
) -> None:
    work = tmp_path / "work"
    write_table(work / "in.parquet")
    write_table(work / "run" / "results.parquet")
    (work / "link.parquet").symlink_to("in.parquet")
    (work / "hard.parquet").hardlink_to(work / "in.parquet")
    for name in ("site", "shared/me--run/report", "in.trials", "in.cells"):
        (work / name).mkdir(parents=True)
    for name in ("mine.parquet", "in.trials/a.parquet"):
        pd.DataFrame({"claim": [1], "item": [0]}).to_parquet(work / name)
    _cell(work / "in.cells" / "b.parquet", work / "in.parquet")
    for name in ("claims.yaml", "notes.txt", "site/index.html", "shared/me--run/report/index.html"):
        (work / name).write_text("mine")
    before = _files(work)
    assert says in clipdyn(*call.split()).sentence
    assert _files(work) == before


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _cell(path: Path, table: Path) -> None:
    pq.write_table(pq.read_table(table).replace_schema_metadata({b"hf_clipdyn.cell": b"{}"}), path)


@pytest.mark.parametrize("name", ["results.parquet", "verdicts.parquet"])
def test_a_study_is_refused_before_its_runs_if_its_tables_would_replace_others(
    name: str, tmp_path: Path
) -> None:
    pd.DataFrame({"claim": [1], "item": [0]}).to_parquet(tmp_path / name)
    with pytest.raises(ConfigError, match=f"{name} exists and is not (a|the) table of"):
        Study("study-quick", tmp_path, report=True)
    assert len(Study("study-quick", tmp_path).members) > 0


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
    "figure": lambda _, out: FigureFolder(out).save(Figure(), "one", ("png", "svg", "pdf")),
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


@pytest.mark.slow
def test_a_page_on_a_full_file_system_stays_whole(tmp_path: Path, write_table: Write, clipdyn: Run) -> None:
    """A real file system of 8 MB, with room for one page; needs the right to mount one."""
    with small_disk(tmp_path / "small", "8m") as mounted:
        if not mounted:
            pytest.skip("a file system of its own cannot be mounted here")
        small = tmp_path / "small"
        words = ("report", write_table(tmp_path / "in.parquet"), "-o", small, "--no-figures")
        assert clipdyn(*words).code == 0
        page = (small / "index.html").read_bytes()
        (small / "filler").write_bytes(bytes(8 * 2**20 - len(page) - 2**19))
        assert "No space left on device" in clipdyn(*words).sentence
        assert (small / "index.html").read_bytes() == page
        assert sorted(path.name for path in small.iterdir()) == ["filler", "index.html"]


LETTERS, LENGTH = "ab", 2**25


def _write_without_end(table: Path, out: Path) -> None:
    """Replace a page of one letter by a page of another, and again."""
    head = '<meta name="generator" content="hf_clipdyn ">'
    for number in range(10**6):
        text = head + LETTERS[number % 2] * LENGTH
        write.render = lambda *_, text=text, **__: text  # type: ignore[assignment]
        write_report(table, out, figures=False)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2.0, 2.1, 2.2, 2.3])
def test_after_sigkill_the_page_is_the_old_or_the_new_one(
    seconds: float, tmp_path: Path, write_table: Write
) -> None:
    table, out = write_table(tmp_path / "in.parquet"), tmp_path / "site"
    assert call(_write_without_end, table, out, printed=tmp_path, seconds=seconds).code is None
    text = (out / "index.html").read_text()
    assert len(text) > LENGTH
    assert len(set(text[-LENGTH:])) == 1
