import os
from pathlib import Path

import pytest
from huggingface_hub.utils.sha import git_hash

from hf_clipdyn.revisions.files import file_git_hash, follow_umask


def test_the_git_id_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "file").write_bytes(content)
    assert file_git_hash(tmp_path / "file") == git_hash(content)


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
