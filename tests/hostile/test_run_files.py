"""Files of a run and of a store of 0.3 that were cut short, edited, or made to do harm: each is one line.

Names and commits in them become paths, numbers become loops, and texts are printed.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile.harness import SECRET, Outcome
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from stores import publish_epochs

from hf_clipdyn.errors import RevisionError
from hf_clipdyn.revisions.manifest import Manifest
from hf_clipdyn.revisions.open import list_revisions

COMMIT = "c0" * 20
ROW: dict[str, Any] = {"name": "epoch-000", "epoch": 0, "step": 0, "samples_seen": 0, "sha256": "ab" * 32}

# What a text that becomes a folder's name must not be.
PATHS = ["../../v", "/etc", "", ".", "..", "a/b", "a\\b", "a\nb", "x" * 5000, "\0", "-rf", "épo", "main"]


@pytest.mark.parametrize("name", PATHS)
def test_a_name_in_a_manifest_that_is_no_folder_of_a_run_is_refused(name: str) -> None:
    content = {"format_version": 1, "run_id": "f", "revisions": [ROW | {"name": name}]}
    with pytest.raises(RevisionError, match=r"^revisions\.json of me/run .*name") as found:
        Manifest.loads(json.dumps(content), "me/run")
    assert len(str(found.value)) < 400
    assert "\n" not in str(found.value)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(_JSON | st.dictionaries(st.sampled_from(sorted(ROW)), _JSON, max_size=2))
def test_a_manifest_that_was_read_is_written_as_it_was(change: Any) -> None:
    row = ROW | change if isinstance(change, dict) else change
    try:
        manifest = Manifest.loads(json.dumps({"format_version": 1, "run_id": "f", "revisions": [row]}), "x")
    except RevisionError:
        return
    assert Manifest.loads(manifest.dumps(), "x") == manifest


@pytest.mark.parametrize("content", [b"", b"../../v", bytes(range(128, 168)), b"G" * 40, SECRET.encode()])
def test_a_ref_of_a_kept_store_without_a_commit_is_one_line_that_keeps_its_content(
    tmp_path: Path, content: bytes
) -> None:
    refs = tmp_path / "models--me--run" / "refs"
    refs.mkdir(parents=True)
    (refs / "epoch-000").write_bytes(content)
    with pytest.raises(RevisionError, match=r"epoch-000 does not contain a commit") as found:
        list_revisions("me/run", tmp_path)
    assert SECRET not in str(found.value)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"epoch": "one"}, 1), ({"name": "../../v"}, 1), ({"sha256": "0" * 64}, 1), ({"epoch": 10**15}, 1)],
)
def test_a_manifest_of_a_run_that_was_edited_is_found_or_one_line(
    tmp_path: Path, clipdyn: Callable[..., Outcome], changes: dict[str, Any], code: int
) -> None:
    def save(epoch: int, into: Path) -> None:
        save_file({"w": np.full(4, epoch, np.float32)}, into / "model.safetensors")

    run = publish_epochs(tmp_path / "work" / "run", range(3), lambda epoch: partial(save, epoch))
    assert clipdyn("verify", "run", "--deep").code == 0
    for path in run.glob("revisions/*/revisions.json"):
        content = json.loads(path.read_text())
        content["revisions"][0] |= changes
        path.write_text(json.dumps(content))
    outcome = clipdyn("verify", "run", "--deep", seconds=20)
    outcome.assert_decent()
    assert outcome.code == code
