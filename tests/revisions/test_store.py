"""The folders of a run: each revision is whole or absent, says what it is, and never changes."""

import os
import shutil
import sys
from pathlib import Path

import forked
import pytest
from huggingface_hub import ModelCard

from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.revisions import Publisher, list_revisions
from hf_clipdyn.revisions.manifest import read_manifest
from hf_clipdyn.revisions.store import Store, space_needed
from hf_clipdyn.revisions.verify import repair, verify

KEPT = Path(__file__).parents[1] / "kept" / "store" / "whole"


def test_every_epoch_is_a_folder_and_says_what_it_is(tmp_path: Path, publish) -> None:
    summary = publish(range(3), planned=["epoch-000", "epoch-001", "epoch-002"])
    assert summary.published == ["epoch-000", "epoch-001", "epoch-002"]
    assert summary.missing == []
    assert "3 of 3 revisions are saved" in summary.message
    revisions = list_revisions(tmp_path)
    assert [(one.epoch, one.step, one.samples_seen) for one in revisions] == [
        (0, 0, 0),
        (1, 10, 40),
        (2, 20, 80),
    ]
    assert len({one.sha256 for one in revisions}) == len({one.commit for one in revisions}) == 3
    manifest = read_manifest(tmp_path / "revisions" / "epoch-001")
    assert (manifest.planned, manifest.pushed) == (tuple(summary.published), False)
    assert [row.recipe_hash for row in manifest.revisions] == ["r1", "r1"], "its own and the earlier one"
    assert {"torch", "transformers", "hf-clipdyn"} <= manifest.revisions[0].versions.keys()
    text = (tmp_path / "revisions" / "epoch-001" / "README.md").read_text()
    data = ModelCard(text).data
    assert (data.library_name, data.license, data.datasets) == (
        "transformers",
        "apache-2.0",
        ["procedural"],
    )
    assert ('revision="epoch-001"' in text, "synthetic" in text) == (True, True)


def test_a_repeat_writes_nothing_and_another_start_is_refused_where_it_is_compared(
    tmp_path: Path, publish, trained, record
) -> None:
    publish(range(2))

    def written() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "revisions").rglob("e*/**/*")}

    before = written()
    publish(range(2), models=lambda epoch: trained(epoch + 50))
    with Publisher(tmp_path, recipe_hash="r1") as publisher:
        publisher.submit(record(1), trained(1), compare=True)
        with pytest.raises(PublishError, match="epoch-000 has other weights, from an earlier run"):
            publisher.submit(record(0), trained(51), compare=True)
    assert written() == before
    assert not list((tmp_path / "revisions").glob(".*.staging"))


def test_what_was_trained_again_with_other_weights_is_set_aside_with_all_that_followed(
    tmp_path: Path, publish, trained, record, caplog: pytest.LogCaptureFixture
) -> None:
    publish(range(4))
    folder, before = tmp_path / "revisions", list_revisions(tmp_path)
    with Publisher(tmp_path, recipe_hash="r1") as publisher:
        publisher.submit(record(2), trained(52), compare=True)
        assert publisher.published() == ["epoch-000", "epoch-001", "epoch-002"]
    assert "epoch-002, epoch-003 are set aside" in caplog.text
    assert sorted(path.name for path in (folder / "replaced").iterdir()) == [
        f"{one.name}-{one.sha256[:8]}" for one in before[2:]
    ]
    now = list_revisions(tmp_path)
    assert now[:2] == before[:2]
    assert (len(now), now[2].sha256 == before[2].sha256) == (3, False)
    assert {(one.name, one.sha256, one.commit) for one in Store(tmp_path).manifest().replaced} == {
        (one.name, one.sha256, one.commit) for one in before[2:]
    }
    assert publish(range(4)).published == [one.name for one in before]
    assert verify(tmp_path, deep=True).is_whole


def test_another_recipe_or_name_is_another_run_and_one_whose_folder_was_moved_keeps_its_name(
    tmp_path: Path, publish
) -> None:
    publish(range(2), folder=tmp_path / "old", repo_id=None)
    (tmp_path / "old").rename(tmp_path / "new")
    with pytest.raises(PublishError, match="a run with another recipe"):
        publish(range(3), folder=tmp_path / "new", repo_id=None, recipe_hash="r2")
    with pytest.raises(PublishError, match=r"a run with another name \(local/old, not me/run\)"):
        publish(range(3), folder=tmp_path / "new")
    summary = publish(range(3), folder=tmp_path / "new", repo_id=None)
    assert summary.published == ["epoch-000", "epoch-001", "epoch-002"]
    assert summary.repo_id == "local/old"
    run_ids = {read_manifest(path).run_id for path in (tmp_path / "new" / "revisions").glob("e*")}
    assert len(run_ids) == 1


def test_the_rows_of_deleted_folders_stay_known_until_the_store_is_deleted(tmp_path: Path, publish) -> None:
    publish(range(3))
    shutil.rmtree(tmp_path / "revisions" / "epoch-001")
    with Publisher(tmp_path, "me/run", recipe_hash="r1") as publisher:
        assert publisher.published() == ["epoch-000", "epoch-001", "epoch-002"]
    with Store(tmp_path).locked(), pytest.raises(PublishError, match="Another process writes"):
        Store(tmp_path).delete()
    Store(tmp_path).delete()
    Store(tmp_path).delete()  # it is gone
    assert publish(range(2)).published == ["epoch-000", "epoch-001"]


def test_two_processes_do_not_write_to_one_folder_and_what_a_killed_one_left_is_removed(
    tmp_path: Path,
) -> None:
    code = f"from hf_clipdyn.revisions import Publisher; Publisher({str(tmp_path)!r}, 'me/run').__enter__()"
    left = tmp_path / "revisions" / ".epoch-000.x.staging"
    with Publisher(tmp_path, "me/run"):
        left.mkdir()
        done = forked.run([sys.executable, "-c", code])
        assert left.exists()
    assert "Another process writes to" in done.stderr
    assert forked.run([sys.executable, "-c", code]).returncode == 0
    assert not left.exists()


def test_a_folder_of_version_0_3_is_refused_before_the_first_write(tmp_path: Path, publish, clipdyn) -> None:
    run = tmp_path / "run"
    shutil.copytree(KEPT, run, symlinks=True)
    before = {path: path.lstat().st_mtime_ns for path in run.rglob("*")}
    for refused in (lambda: publish(range(2), folder=run), lambda: repair(run)):
        with pytest.raises(
            ConfigError, match=r"version 0\.3 .*read someone/whole with --store .*hub; .*0\.3\.1"
        ):
            refused()
    code, _, error = clipdyn("revisions", run)
    assert code == 2
    assert f"--store {run / 'hub'}" in error
    assert {path: path.lstat().st_mtime_ns for path in run.rglob("*")} == before


def test_what_cannot_be_written_leaves_nothing_and_is_named(tmp_path: Path, publish) -> None:
    def save(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(PublishError, match=r"epoch-000: .*No space left on device"):
        publish(range(1), models=lambda epoch: save)
    with pytest.raises(PublishError, match=r"model\.safetensors"):
        publish(range(1), models=lambda epoch: lambda folder: (folder / "config.json").write_text("{}"))
    assert [path.name for path in (tmp_path / "revisions").glob("*epoch*")] == []
    for name in ("other", "notes"):
        (tmp_path / name / "revisions").mkdir(parents=True)
    (tmp_path / "other" / "revisions").rmdir()
    (tmp_path / "other" / "revisions").write_text("a file stands where a folder is needed")
    (tmp_path / "notes" / "revisions" / "epoch-000").mkdir()
    (tmp_path / "notes" / "revisions" / "epoch-000" / "mine.txt").touch()
    for name in ("other", "notes"):
        with pytest.raises(PublishError, match="revisions"):
            publish(range(1), folder=tmp_path / name)
    assert [path.name for path in tmp_path.glob("notes/revisions/e*/*")] == ["mine.txt"]


def test_a_disabled_publisher_writes_nothing(tmp_path: Path, publish) -> None:
    summary = publish(range(2), folder=tmp_path / "run", disable=True, push_to_hub=True)
    assert (summary.published, summary.missing) == ([], [])
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(os.name == "nt", reason="no umask")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_the_umask_decides_who_may_read_a_revision(tmp_path: Path, publish, umask: int) -> None:
    """safetensors writes weights that nobody else can read, whatever the umask says."""
    before = os.umask(umask)
    try:
        publish(range(2))
    finally:
        os.umask(before)
    for path in [*(tmp_path / "revisions").glob("e*"), *(tmp_path / "revisions").glob("e*/**/*")]:
        expected = (0o777 if path.is_dir() else 0o666) & ~umask
        assert path.stat().st_mode & 0o777 == expected, path


def test_the_space_that_revisions_take_is_compared_with_that_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "not" / "there"
    free = shutil.disk_usage(tmp_path)._replace(free=6000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: {tmp_path: free}[folder])
    assert space_needed(run, 3, 2000) == (f"3 revisions take 6.0 kB in {run / 'revisions'}.", True)
    said, fits = space_needed(run, 3, 2001)
    assert (fits, "6.0 kB left" in said) == (False, True)
