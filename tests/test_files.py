import os
from pathlib import Path

import pytest

from hf_clipdyn.files import delete, follow_umask, write_atomically


@pytest.mark.skipif(os.name == "nt", reason="no umask")
def test_a_folder_and_all_in_it_get_the_mode_of_new_files_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.touch(mode=0o600)
    folder = tmp_path / "checkpoint"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "weights").touch(mode=0o600)
    (folder / "link").symlink_to(outside)
    folder.chmod(0o700)
    (tmp_path / "new").touch()
    (tmp_path / "new_folder").mkdir()
    follow_umask(folder)
    assert (folder / "sub" / "weights").stat().st_mode == (tmp_path / "new").stat().st_mode
    for path in (folder, folder / "sub"):
        assert path.stat().st_mode == (tmp_path / "new_folder").stat().st_mode
    assert outside.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == ["link", "sub"]


def test_a_folder_is_deleted_whole_and_links_are_removed_but_not_followed(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    (outside / "file").write_text("mine")
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "link").symlink_to(outside)
    (tmp_path / "link").symlink_to(outside)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "hard").hardlink_to(outside / "file")
    for name in ("folder", "link", "dangling", "hard", "absent"):
        delete(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "file").read_text() == "mine"


@pytest.mark.parametrize("content", ["é\n", "é\n".encode(), lambda path: path.write_bytes("é\n".encode())])
def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path, content) -> None:
    target = tmp_path / "new" / "file"
    for _ in range(2):
        write_atomically(target, content)
        assert target.read_bytes() == "é\n".encode()
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == [target]


def test_a_file_whose_writing_fails_is_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=f"No space left on device: '{target}'"):
        write_atomically(target, fail)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]
