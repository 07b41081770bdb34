"""What tables record about their origin: package, start times, claims; and what earlier tables did not."""

import subprocess
from pathlib import Path

import pyarrow.parquet as pq
from result_rows import cell, row, write_rows

from hf_clipdyn import __version__
from hf_clipdyn.results import provenance
from hf_clipdyn.results.cells import CellStore, cells_folder
from hf_clipdyn.results.provenance import PROVENANCE_KEY, Provenance, RunOrigin, package, utc, utc_of
from hf_clipdyn.results.row import Row
from hf_clipdyn.results.table import load, load_results, write_results
from hf_clipdyn.results.terms import Vocabulary

_BEGAN = "2026-11-26T06:20:00+00:00"


def _put(store: CellStore, run: str, revision: str, *began: str) -> None:
    one = cell(revision, repo_id=run, seconds=60.0)
    store.write(one, [Row(**vars(one), metric="top1", value=0.5)], None, Vocabulary(), *began)


def _recorded(path: Path) -> Provenance:
    return Provenance.loads(pq.read_metadata(path).metadata[PROVENANCE_KEY], "here")


def test_a_table_names_its_package_and_the_start_of_each_run_also_when_it_is_built_again(
    tmp_path, monkeypatch
):
    output = tmp_path / "results.parquet"
    monkeypatch.setattr("time.time", lambda: 1_795_674_120.0)  # 06:22:00
    store = CellStore(output)
    _put(store, "me/a", "epoch-000", _BEGAN)
    _put(store, "me/a", "epoch-001", _BEGAN)
    _put(store, "me/b", "epoch-000")
    store.rebuild()
    written = _recorded(output)
    assert written.package == package()
    assert (written.study, written.claims) == ("", "")
    assert written.runs == (
        RunOrigin(run="me/a", packages=(package(),), began=_BEGAN, measured="2026-11-26T06:21:00+00:00"),
        RunOrigin(run="me/b", packages=(package(),), measured="2026-11-26T06:21:00+00:00"),
    )
    _put(CellStore(output), "me/a", "epoch-000")  # as when it is scored again
    output.unlink()
    CellStore(output).rebuild()
    assert {one.run: one for one in _recorded(output).runs} == {one.run: one for one in written.runs}
    for file in cells_folder(output).iterdir():
        file.unlink()
    copy = CellStore(output)  # a downloaded table
    monkeypatch.setattr(copy, "_package", "9.9.9")
    _put(copy, "me/b", "epoch-001")
    copy.rebuild()
    assert {one.run: one.packages for one in _recorded(output).runs} == {
        "me/a": (package(),),
        "me/b": (package(), "9.9.9"),
    }


def test_the_origin_of_each_run_survives_when_tables_are_read_and_written_as_one(tmp_path):
    store = CellStore(tmp_path / "new.parquet")
    _put(store, "me/new", "epoch-000", _BEGAN)
    store.rebuild()
    old = write_rows([row("zero_shot/cifar10", "top1", 0.5)], tmp_path / "old.parquet")
    results = load([tmp_path / "new.parquet", old])
    new, unknown = results.origins
    assert (new.run, new.began, new.packages) == ("me/new", _BEGAN, (package(),))
    assert unknown == RunOrigin(run="me/fixture", packages=("",))
    facts = Provenance(package="0.2.0", study="world", claims="a" * 64)
    write_results(results, tmp_path / "both.parquet", facts)
    both = _recorded(tmp_path / "both.parquet")
    assert (both.package, both.study, both.claims) == ("0.2.0", "world", "a" * 64)
    assert both.runs == results.origins == load(tmp_path / "both.parquet").origins
    frame = load_results(tmp_path / "both.parquet")
    assert Provenance.loads(frame.attrs["provenance"], "the frame").runs == results.origins


def test_two_tables_of_one_run_give_its_earliest_times_unless_one_did_not_record_them():
    first = RunOrigin(run="me/a", packages=("1",), began=_BEGAN, measured="2026-11-26T07:00:00+00:00")
    second = RunOrigin(run="me/a", packages=("2", "1"), measured="2026-11-26T06:50:00+00:00")
    (both,) = provenance.merged([first, second])
    assert both == RunOrigin(
        run="me/a", packages=("1", "2"), began=_BEGAN, measured="2026-11-26T06:50:00+00:00"
    )
    (unknown,) = provenance.merged([first, RunOrigin(run="me/a")])
    assert (unknown.packages, unknown.began, unknown.measured) == (("1", ""), _BEGAN, "")


def test_a_time_from_a_manifest_is_utc_to_the_second_or_nothing():
    assert utc("2026-11-26T07:20:00+01:00") == utc("2026-11-26T06:20:00") == utc(_BEGAN) == _BEGAN
    assert [utc(text) for text in (None, "", "soon", "9999-12-31T23:59:59-12:00")] == [""] * 4
    assert [utc_of(seconds) for seconds in (0, -1.0, 1e300, float("inf"), float("nan"))] == [""] * 5


def test_the_package_of_a_checkout_has_its_commit_and_a_mark_for_changes(tmp_path, monkeypatch):
    module = tmp_path / "hf_clipdyn" / "results" / "provenance.py"
    module.parent.mkdir(parents=True)
    module.touch()
    monkeypatch.setattr(provenance, "__file__", str(module))
    found = package.__wrapped__
    assert found() == __version__, "as of an installed wheel"
    for words in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["-c", "user.name=x", "-c", "user.email=x", "commit", "--quiet", "--message", "x"],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    commit = provenance.git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "notes.txt").touch()
    assert found() == f"{__version__}+{commit}"
    module.write_text("changed\n")
    assert found() == f"{__version__}+{commit}.dirty"
    assert Provenance.loads(Provenance(package=found()).dumps(), "here").package == found()
