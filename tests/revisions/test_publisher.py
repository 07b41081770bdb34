import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import forked
import pytest
from huggingface_hub import ModelCard

from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.revisions import Publisher, RevisionRecord, list_revisions, resume_publishing
from hf_clipdyn.revisions.verify import verify


def test_every_epoch_is_published_and_main_is_the_newest(tmp_path: Path, publish) -> None:
    summary = publish(range(3))
    assert summary.published == ["epoch-000", "epoch-001", "epoch-002"]
    assert summary.missing == []
    revisions = list_revisions("me/run", store=tmp_path / "hub")
    assert [revision.name for revision in revisions] == summary.published
    assert [revision.epoch for revision in revisions] == [0, 1, 2]
    assert [revision.samples_seen for revision in revisions] == [0, 40, 80]
    assert len({revision.sha256 for revision in revisions}) == 3
    refs = tmp_path / "hub" / "models--me--run" / "refs"
    assert (refs / "main").read_text() == (refs / "epoch-002").read_text()


def test_revisions_load_offline_in_a_fresh_process_without_this_package(tmp_path: Path, publish) -> None:
    publish(range(3))
    script = """
import json, sys
from huggingface_hub import HfApi, hf_hub_download, scan_cache_dir, snapshot_download
from huggingface_hub.errors import IncompleteSnapshotError
from transformers import AutoModel, CLIPModel, CLIPProcessor, pipeline
import torch
store, names = sys.argv[1], ["epoch-000", "epoch-001", "epoch-002", "main"]
where = dict(cache_dir=store, local_files_only=True)
norms = {}
for name in names:
    model = CLIPModel.from_pretrained("me/run", revision=name, **where)
    norms[name] = sum(p.double().pow(2).sum().item() for p in model.parameters())
processor = CLIPProcessor.from_pretrained("me/run", revision="epoch-001", **where)
two = processor(text=["a red cat", "two green boats"], padding=True, return_tensors="pt")
texts = model.get_text_features(**two).pooler_output
auto = AutoModel.from_pretrained("me/run", revision="epoch-001", adapter_kwargs={"local_files_only": True}, **where)
assert type(auto) is CLIPModel
classify = pipeline("zero-shot-image-classification", model=auto, tokenizer=processor.tokenizer,
                    image_processor=processor.image_processor)
from PIL import Image
answer = classify(Image.new("RGB", (20, 20)), candidate_labels=["red", "blue"])
hub = scan_cache_dir(store)
refs = sorted(ref for repo in hub.repos for revision in repo.revisions for ref in revision.refs)
path = hf_hub_download("me/run", "revisions.json", **where)
resolved = HfApi().resolve_revision("me/run", revision="epoch-002", **where).resolved
folder = snapshot_download("me/run", revision="epoch-001", **where)
(__import__("pathlib").Path(folder) / "config.json").unlink()
try:
    snapshot_download("me/run", revision="epoch-001", **where)
    incomplete = False
except IncompleteSnapshotError:
    incomplete = True
assert not any(name.startswith("hf_clipdyn") for name in sys.modules)
print(json.dumps(dict(norms=norms, texts_differ=bool((texts[0] != texts[1]).any()), answers=len(answer),
                      refs=refs, warnings=len(hub.warnings), rows=len(json.load(open(path))["revisions"]),
                      resolved=resolved, incomplete=incomplete)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "hub")],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(set(found["norms"].values())) == 3
    assert found["norms"]["main"] == found["norms"]["epoch-002"]
    assert found["texts_differ"]
    assert found["answers"] == 2
    assert found["refs"] == ["epoch-000", "epoch-001", "epoch-002", "main"]
    assert found["warnings"] == 0
    assert found["rows"] == 3
    assert found["resolved"] == list_revisions("me/run", store=tmp_path / "hub")[-1].commit
    assert found["incomplete"]


def test_the_cards_yaml_and_text_say_what_the_revision_is(tmp_path: Path, publish) -> None:
    publish(range(2))
    revision = list_revisions("me/run", store=tmp_path / "hub")[1]
    text = (tmp_path / "hub/models--me--run/snapshots" / revision.commit / "README.md").read_text()
    data = ModelCard(text).data
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "zero-shot-image-classification"
    assert data.license == "apache-2.0"
    assert data.datasets == ["procedural"]
    assert "https://arxiv.org/abs/2508.09814" in text
    assert 'revision="epoch-001"' in text
    assert "synthetic" in text


def test_the_hubs_own_command_line_lists_the_revisions_of_a_store(tmp_path: Path, publish) -> None:
    publish(range(2))
    command = [str(Path(sys.executable).with_name("hf")), "cache", "ls", "--revisions", "--cache-dir"]
    done = subprocess.run([*command, str(tmp_path / "hub")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "epoch-000" in done.stdout
    assert "epoch-001" in done.stdout


def test_local_publishing_calls_no_server(hub, publish) -> None:
    """Neither with an end point that answers, nor (elsewhere in these tests) with one that does not."""
    assert publish(range(2)).missing == []
    assert hub.seen == []


def test_a_repeat_writes_nothing_and_each_revision_has_its_own_time(tmp_path: Path, publish) -> None:
    publish(range(2))
    folder = tmp_path / "hub"
    before = {
        path: path.lstat().st_mtime_ns for path in folder.rglob("*") if path.is_symlink() or path.is_file()
    }
    publish(range(2))
    after = {
        path: path.lstat().st_mtime_ns for path in folder.rglob("*") if path.is_symlink() or path.is_file()
    }
    assert after == before
    assert not list((tmp_path / "publishing" / "snapshots").iterdir()), "the weights lie on the disk once"


def test_another_weight_under_a_published_name_is_passed_over(tmp_path: Path, publish, trained) -> None:
    publish(range(2))
    before = list_revisions("me/run", store=tmp_path / "hub")
    publish(range(2), models=lambda epoch: trained(epoch + 50))
    assert list_revisions("me/run", store=tmp_path / "hub") == before


def test_a_run_whose_folder_was_moved_is_continued(tmp_path: Path, publish) -> None:
    publish(range(2), output_dir=tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    summary = resume_publishing(tmp_path / "new")
    assert summary.published == ["epoch-000", "epoch-001"]
    assert str(tmp_path / "new" / "hub") in summary.message


def test_a_revision_that_vanished_from_the_store_is_asked_for_again(
    tmp_path: Path, publish, card, record
) -> None:
    publish(range(2))
    shutil.rmtree(tmp_path / "hub")
    options = {"output_dir": tmp_path, "store": tmp_path / "hub", "card": card, "recipe_hash": "r1"}
    with Publisher("me/run", **options) as publisher:
        publisher.check()
        assert publisher.published() == []
    assert publish(range(2)).published == ["epoch-000", "epoch-001"]


@pytest.mark.parametrize("place", ["store", "publishing", "repository"])
def test_a_store_that_cannot_be_written_is_one_clear_sentence_before_training(
    tmp_path: Path, publish, place: str
) -> None:
    in_the_way = {
        "store": tmp_path / "hub",
        "publishing": tmp_path / "publishing",
        "repository": tmp_path / "hub" / "models--me--run",
    }[place]
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.write_text("a file stands where a folder is needed")
    with pytest.raises(PublishError, match="cannot be written") as caught:
        publish(range(1))
    assert "\n" not in str(caught.value)


def test_two_processes_do_not_publish_from_one_folder(tmp_path: Path, publish, card) -> None:
    options = {"output_dir": tmp_path, "store": tmp_path / "hub", "card": card, "recipe_hash": "r1"}
    script = """
import sys
from pathlib import Path
from hf_clipdyn.cards import CardFacts
from hf_clipdyn.revisions import Publisher
with Publisher("me/run", output_dir=Path(sys.argv[1]), store=Path(sys.argv[1]) / "hub", card=CardFacts("me/run"),
               recipe_hash="r1"):
    pass
"""
    with Publisher("me/run", **options):
        done = forked.run([sys.executable, "-c", script, tmp_path])
    assert "Another process publishes from" in done.stderr


def test_an_error_in_training_keeps_what_was_handed_in(tmp_path: Path, trained, record, card) -> None:
    options = {"output_dir": tmp_path, "store": tmp_path / "hub", "card": card, "recipe_hash": "r1"}

    def train() -> None:
        with Publisher("me/run", **options) as publisher:
            publisher.submit(record(0), trained(0))
            publisher.submit(record(1), trained(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    assert [revision.name for revision in list_revisions("me/run", store=tmp_path / "hub")] == [
        "epoch-000",
        "epoch-001",
    ]


def test_a_snapshot_that_cannot_be_written_stops_with_one_clear_error(tmp_path: Path, publish) -> None:
    def save(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(PublishError, match=r"epoch-000 could not be written .* \(No space left on device\)"):
        publish(range(1), models=lambda epoch: save)
    assert not list((tmp_path / "publishing").rglob("model.safetensors"))


def test_a_snapshot_without_weights_is_never_published(tmp_path: Path, publish) -> None:
    summary = publish(range(1), models=lambda epoch: lambda folder: (folder / "config.json").write_text("{}"))
    assert summary.missing == ["epoch-000"]
    assert "has no model.safetensors" in summary.message


def test_steps_inside_an_epoch_stand_in_training_order(tmp_path: Path, trained, card) -> None:
    options = {"output_dir": tmp_path, "store": tmp_path / "hub", "card": card, "recipe_hash": "r1"}
    with Publisher("me/run", **options) as publisher:
        for number, (name, epoch, step) in enumerate(
            [("epoch-000", 0, 0), ("step-00000001", None, 1), ("step-00000002", None, 2), ("epoch-001", 1, 3)]
        ):
            publisher.submit(RevisionRecord(name, epoch, step, step * 4, None), trained(number))
        assert publisher.finish().missing == []
    revisions = list_revisions("me/run", store=tmp_path / "hub")
    assert [revision.name for revision in revisions] == [
        "epoch-000",
        "step-00000001",
        "step-00000002",
        "epoch-001",
    ]
    assert [revision.epoch for revision in revisions] == [0, None, None, 1]
    assert verify("me/run", store=tmp_path / "hub", deep=True).findings == ()


def test_a_disabled_publisher_writes_nothing(tmp_path: Path, publish) -> None:
    summary = publish(range(2), output_dir=tmp_path / "run", disable=True)
    assert (summary.published, summary.missing) == ([], [])
    assert not (tmp_path / "run").exists()


def test_there_must_be_a_place_to_publish_to(tmp_path: Path, publish) -> None:
    with pytest.raises(ConfigError, match="no target to publish to"):
        publish(range(1), store=None)
    with pytest.raises(ConfigError, match="no journal of publishing"):
        resume_publishing(tmp_path / "nowhere")


@pytest.mark.skipif(os.name == "nt", reason="no umask")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_the_umask_decides_who_may_read_the_store(tmp_path: Path, publish, umask: int) -> None:
    """safetensors writes weights that nobody else can read, whatever the umask says."""
    before = os.umask(umask)
    try:
        publish(range(2))
    finally:
        os.umask(before)
    for path in (tmp_path / "hub" / "models--me--run").rglob("*"):
        if ".staging" not in path.parts and not path.is_symlink():
            expected = (0o777 if path.is_dir() else 0o666) & ~umask
            assert path.stat().st_mode & 0o777 == expected, path


def test_a_run_goes_on_that_was_killed_between_its_first_branch_and_main(tmp_path: Path, publish) -> None:
    publish(range(1))
    (tmp_path / "hub" / "models--me--run" / "refs" / "main").unlink()
    entry = tmp_path / "publishing" / "entries" / "epoch-000.json"
    entry.write_text(json.dumps(json.loads(entry.read_text()) | {"published": {}}))
    shutil.copytree(
        next((tmp_path / "hub" / "models--me--run" / "snapshots").iterdir()),
        tmp_path / "publishing" / "snapshots" / "epoch-000",
    )
    assert publish(range(2)).published == ["epoch-000", "epoch-001"]
    assert verify("me/run", store=tmp_path / "hub", deep=True).findings == ()
