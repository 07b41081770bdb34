"""Which files of a commit are the weights, and what names their content."""

import hashlib
from pathlib import Path

import pytest

from hf_clipdyn.revisions.records import FileRecord, content_id, record_of, weights_of

SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


def _listing(names: list[str], digits: int) -> dict[str, FileRecord]:
    return {name: FileRecord(len(name), f"{at + 1:x}" * digits) for at, name in enumerate(names)}


@pytest.mark.parametrize("digits", [40, 64], ids=["of git", "in the large storage"])
@pytest.mark.parametrize(
    ("names", "weights"),
    [
        (["config.json", "model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["model.safetensors.index.json", *SHARDS[::-1]], SHARDS),
        (["pytorch_model.bin", "training_args.bin"], ["pytorch_model.bin"]),
        (["adapter_config.json", "adapter_model.safetensors"], ["adapter_model.safetensors"]),
        (["training_args.bin", "sub/model.safetensors", "optimizer.pt"], []),
    ],
)
def test_the_weights_are_the_best_form_of_a_commit_and_nothing_else(
    names: list[str], weights: list[str], digits: int
) -> None:
    files = _listing(names, digits)
    found = weights_of(files)
    assert list(found.paths) == weights
    assert found.size == sum(map(len, weights))
    assert found.sha256 == (found.blob if weights and digits == 64 else None)
    if len(weights) < 2:
        assert found.blob == "".join(files[name].blob for name in weights)
    for name in weights:
        assert weights_of({**files, name: FileRecord(1, "e" * digits)}).blob != found.blob


def test_a_file_is_named_by_gits_hash_and_weights_by_sha256_and_a_changed_one_is_read_again(
    tmp_path: Path,
) -> None:
    weights, other = tmp_path / "model.safetensors", tmp_path / "config.json"
    for content in (b"one", b"another"):
        before = [record_of(path) for path in (weights, other) if path.exists()]
        for path in (weights, other):
            path.write_bytes(content)
        assert not any(record.describes(weights) for record in before)
        of_git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        assert record_of(weights) == FileRecord(len(content), hashlib.sha256(content).hexdigest())
        assert record_of(other) == FileRecord(len(content), of_git)
        assert all(record_of(path).describes(path) for path in (weights, other))


def test_the_id_of_a_content_never_changes_since_tables_have_it() -> None:
    files = {"y": FileRecord(1, "b" * 40), "x": FileRecord(1, "a" * 40)}
    assert content_id(files) == "0a41fe89066268d585b1cfe9860d59bcb014c1f6"
    assert content_id(files, "z") == "0050823c8cc369576ab155db01ebc311ab650d86"
