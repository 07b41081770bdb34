"""No command writes over what it reads, nor over a file of another kind, nor half of a file."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hostile.harness import Outcome, call
from matplotlib.figure import Figure

from hf_clipdyn.errors import ClipDynError, ConfigError
from hf_clipdyn.files import check_output, write_atomically
from hf_clipdyn.report import write_cards, write_report
from hf_clipdyn.report.figures import FigureFolder
from hf_clipdyn.report.page import write
from hf_clipdyn.results.table import load, write_results
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
    "evaluate over a cell": ("evaluate me/run -o in.cells/b.parquet", "belongs to one cell"),
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
    call: str, says: str, clipdyn: Callable[..., Outcome], tmp_path: Path, write_table: Callable[..., Path]
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


@contextmanager
def _files_up_to(size: int) -> Iterator[None]:
    """Every larger file fails to be written, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


WRITERS: dict[str, Callable[[Path, Path], object]] = {
    "card": lambda table, out: write_cards(table, out),
    "page": lambda table, out: write_report(table, out, stimuli="none", figures=False),
    "figure": lambda _, out: FigureFolder(out).save(Figure(), "one", ("png", "svg", "pdf")),
    "results": lambda table, out: write_results(load(table), out / "results.parquet"),
    "verdicts": lambda _, out: write_verdicts(verdict_table([]), out / "verdicts.parquet"),
}


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_on_a_full_disk_every_file_is_as_it_was_and_nothing_is_left(
    writer: Callable[[Path, Path], object], tmp_path: Path, write_table: Callable[..., Path]
) -> None:
    table, out = write_table(tmp_path / "in.parquet"), tmp_path / "out"
    writer(table, out)
    before = _files(out)
    assert before
    with _files_up_to(100), pytest.raises((ClipDynError, OSError), match="too large"):
        writer(table, out)
    assert _files(out) == before


@pytest.mark.slow
def test_a_page_on_a_full_file_system_stays_whole(
    tmp_path: Path, write_table: Callable[..., Path], clipdyn: Callable[..., Outcome]
) -> None:
    """A real file system of 8 MB, with room for one page; needs the right to mount one."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a file system of its own cannot be mounted here")
    try:
        words = ("report", write_table(tmp_path / "in.parquet"), "-o", small, "--no-figures")
        assert clipdyn(*words).code == 0
        page = (small / "index.html").read_bytes()
        (small / "filler").write_bytes(bytes(8 * 2**20 - len(page) - 2**19))
        assert "No space left on device" in clipdyn(*words).sentence
        assert (small / "index.html").read_bytes() == page
        assert sorted(path.name for path in small.iterdir()) == ["filler", "index.html"]
    finally:
        subprocess.run(["umount", str(small)], check=False)


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
    seconds: float, tmp_path: Path, write_table: Callable[..., Path]
) -> None:
    table, out = write_table(tmp_path / "in.parquet"), tmp_path / "site"
    assert call(_write_without_end, table, out, printed=tmp_path, seconds=seconds).code is None
    text = (out / "index.html").read_text()
    assert len(text) > LENGTH
    assert len(set(text[-LENGTH:])) == 1
