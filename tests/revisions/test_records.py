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
        (["a.bin", "open_clip_config.json", "open_clip_model.safetensors"], ["open_clip_model.safetensors"]),
        (["epoch_3.pt", "optimizer.pt", "random_states_0.pt", "scaler.pt", "scheduler.bin"], ["epoch_3.pt"]),
        (["training_args.bin", "sub/model.safetensors"], []),
    ],
)
def test_the_weights_are_the_best_form_of_a_commit_and_nothing_else(
    names: list[str], weights: list[str], digits: int
) -> None:
    files = _listing(names, digits)
    found = weights_of(files)
    assert list(found.paths) == weights
    assert found.size == sum(map(len, weights))
    assert len(found.blob) == (digits if weights else 0)
    assert found.sha256 == (found.blob if weights and digits == 64 else None)
    if len(weights) == 1:
        assert found.blob == files[weights[0]].blob
    for name in weights:
        assert weights_of({**files, name: FileRecord(1, "e" * digits)}).blob != found.blob


def test_what_is_in_the_large_storage_is_taken_before_a_better_name() -> None:
    files = _listing(["model.safetensors"], 40) | _listing(["pytorch_model.bin"], 64)
    assert weights_of(files).paths == ("pytorch_model.bin",)


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


def test_the_id_of_a_content_follows_from_names_hashes_and_how_it_is_read_in_any_order() -> None:
    one, two = FileRecord(1, "a" * 40), FileRecord(1, "b" * 40)
    found = content_id({"x": one, "y": two})
    assert len(found) == 40
    assert found == content_id({"y": two, "x": one})
    others = [content_id({"x": two, "y": one}), content_id({"x": one}), content_id({"x": one, "y": two}, "z")]
    assert len({found, *others}) == 4
