import json
import subprocess
import sys
from pathlib import Path

from huggingface_hub import ModelCard

from hf_clipdyn.revisions import list_revisions


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
auto = AutoModel.from_pretrained("me/run", revision="epoch-001", **where)
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
        timeout=120,
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
