"""Write what version 0.3 left on disks and on the Hub, which later versions load and verify (tests/test_kept.py).

It was run with the code of commit 7d1a4bfc, and is not run again. As root in a container, since the runs lie below
/home/someone, so that no path of a real machine is in them::

    git worktree add ../as-of-0.3 7d1a4bfc && cd ../as-of-0.3
    PYTHONPATH=$PWD:$PWD/tests python ../hf_clipdyn/tests/kept/write.py

store/whole       a run with EMA and a named step, which continues a plain folder
store/local       a run that continues a folder of `snapshot_download()`: its manifest names a path as a repository,
                  which 0.3 then refused to read, so epoch-001 is in the journal only
store/unfinished  a run that was stopped in its first epoch
hub               a run that was pushed, a folder for each branch: someone/clip; and someone/adapters, see below
adapter           what `PublishRevisions` published of adapters on someone/clip@epoch-002, in a store and on the Hub
recorded.json     of each revision the SHA-256 of its weights, and some of what the model gives
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from hub_server.server import WRITE_TOKEN, HubServer
from huggingface_hub import HfApi, snapshot_download
from peft import LoraConfig, get_peft_model
from photographs import write_photographs
from PIL import Image
from transformers import CLIPModel, CLIPProcessor, Trainer, TrainingArguments, default_data_collator

from hf_clipdyn import PublishRevisions
from hf_clipdyn.config import parse_training_config
from hf_clipdyn.training import train
from hf_clipdyn.training.loop import Callback, Training

HERE = Path(__file__).resolve().parent
HOME = Path("/home/someone")
GOLDEN = Path("tests/goldens/model").resolve()


def outputs(model: Any) -> dict[str, list[float]]:
    """The first four components of the embeddings of an image and of a text that are the same everywhere."""
    pixels = torch.linspace(-2, 2, 3 * 24 * 24).reshape(1, 3, 24, 24)
    words = torch.tensor([[596, 5, 60, 250, 597]])
    with torch.no_grad():
        found = model.eval()(input_ids=words, attention_mask=torch.ones_like(words), pixel_values=pixels)
    return {key: found[key][0, :4].tolist() for key in ("image_embeds", "text_embeds")}


class Stop(Callback):
    """Stops a run after its second step, as an interruption does."""

    def step_ends(self, training: Training) -> None:
        if training.step == 2:
            training.stop()


def run(name: str, *callbacks: Callback, begin: str, **more: Any) -> None:
    """A run of three steps an epoch below ``HOME / "runs"``."""
    fields = {
        "dataset_name": HOME / "photographs",
        "output_dir": HOME / "runs" / name,
        "hub_model_id": f"someone/{name}",
        "model_name_or_path": begin,
        "per_device_train_batch_size": 8,
        "warmup_steps": 1,
        "bf16": False,
        "disable_tqdm": True,
        "cache_dir": HOME / "cache",
        "license": "apache-2.0",
        **more,
    }
    flags = [text for key, value in fields.items() for text in (f"--{key}", str(value))]
    train(parse_training_config(flags), callbacks)


def train_adapters() -> Any:
    """Publish adapters on a published revision; returns the model that they make."""
    base = snapshot_download("someone/clip", revision="epoch-002")
    model, processor = CLIPModel.from_pretrained(base), CLIPProcessor.from_pretrained(base)
    torch.manual_seed(1)
    model = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    pictures = [Image.open(file) for file in sorted((HOME / "photographs" / "Images").iterdir())]
    words = {"padding": "max_length", "truncation": True, "max_length": 16}
    batch = processor(images=pictures, text=["a picture ."] * len(pictures), return_tensors="pt", **words)
    rows = [{key: value[i] for key, value in batch.items()} for i in range(len(pictures))]
    trainer = Trainer(
        model,
        TrainingArguments(
            str(HOME / "runs" / "adapters"),
            num_train_epochs=1,
            per_device_train_batch_size=8,
            learning_rate=0.05,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
        ),
        train_dataset=rows,
        data_collator=lambda rows: default_data_collator(rows) | {"return_loss": True},
        processing_class=processor,
        callbacks=[
            PublishRevisions("someone/adapters", base_model="someone/clip@epoch-002", push_to_hub=True)
        ],
    )
    trainer.train()
    return model.merge_and_unload()


def keep_run(name: str, target: Path) -> None:
    """Copy the store and the journals of a run, links as links."""
    for part in ("hub", "publishing", "ema/publishing"):
        if (HOME / "runs" / name / part).is_dir():
            unread = shutil.ignore_patterns("lock", "staging", ".staging", ".locks")
            shutil.copytree(HOME / "runs" / name / part, target / part, symlinks=True, ignore=unread)


def keep_repository(repo_id: str) -> dict[str, str]:
    """Write the files of each branch as the Hub serves them; returns the commits of the branches."""
    api = HfApi()
    commits = {one.name: one.target_commit for one in api.list_repo_refs(repo_id).branches}
    for branch, commit in commits.items():
        folder = HERE / "hub" / repo_id.rpartition("/")[2] / branch
        snapshot_download(repo_id, revision=commit, local_dir=folder)
        shutil.rmtree(folder / ".cache")
        (folder / ".gitattributes").unlink()  # the Hub's own, which git would obey here
    return commits


def recorded(folder: Path, repo_id: str) -> dict[str, Any]:
    """What every revision of a repository in a store has and gives."""
    found = {}
    for ref in sorted((folder / f"models--{repo_id.replace('/', '--')}" / "refs").iterdir()):
        where = {"revision": ref.name, "cache_dir": folder, "local_files_only": True}
        model = CLIPModel.from_pretrained(repo_id, adapter_kwargs={"local_files_only": True}, **where)
        weights = Path(snapshot_download(repo_id, **where), "model.safetensors")
        found[ref.name] = {"sha256": hashlib.sha256(weights.read_bytes()).hexdigest()} | outputs(model)
    return found


def main() -> None:
    for part in ("store", "hub", "adapter"):
        shutil.rmtree(HERE / part, ignore_errors=True)
    write_photographs(HOME / "photographs", 24)
    shutil.copytree(GOLDEN, HOME / "models" / "clip")
    HfApi().create_repo("someone/base")
    HfApi().upload_folder(repo_id="someone/base", folder_path=GOLDEN)
    fetched = snapshot_download("someone/base", cache_dir=HOME / ".cache" / "huggingface" / "hub")

    begin = str(HOME / "models" / "clip")
    run("whole", begin=begin, num_train_epochs=1, publish="2", ema_decay=0.8)
    run("local", begin=fetched, num_train_epochs=1)
    run("unfinished", Stop(), begin=begin, num_train_epochs=2, publish="2")
    run("clip", begin="someone/base", num_train_epochs=2, push_to_hub=True)
    merged = train_adapters()

    record: dict[str, dict[str, Any]] = {}
    for name, averaged in (("whole", True), ("local", False), ("unfinished", False)):
        keep_run(name, HERE / "store" / name)
        store = HERE / "store" / name / "hub"
        for one in (f"someone/{name}", f"someone/{name}-ema")[: 1 + averaged]:
            record.setdefault(f"store/{name}/hub", {})[one] = recorded(store, one)
    keep_run("adapters", HERE / "adapter")
    commits = {name: keep_repository(name) for name in ("someone/clip", "someone/adapters")}
    (HERE / "hub" / "branches.json").write_text(json.dumps(commits, indent=1) + "\n")
    clip = recorded(HOME / "runs" / "clip" / "hub", "someone/clip")
    adapters = {"epoch-000": {}, "epoch-001": outputs(merged), "main": outputs(merged)}
    for branch, found in adapters.items():
        weights = HERE / "hub" / "adapters" / branch / "adapter_model.safetensors"
        adapters[branch] = {"sha256": hashlib.sha256(weights.read_bytes()).hexdigest()} | found
    adapters["epoch-000"] |= {key: value for key, value in clip["epoch-002"].items() if key != "sha256"}
    record |= {"hub": {"someone/clip": clip, "someone/adapters": adapters}}
    (HERE / "recorded.json").write_text(json.dumps(record, indent=1) + "\n")


def with_hub() -> int:
    """Run this script again in a process that knows no Hub but one on this machine; returns its exit code."""
    server, caches = HubServer(), tempfile.mkdtemp()
    env = os.environ | server.env | {"HF_TOKEN": WRITE_TOKEN, "HF_HOME": caches, "OMP_NUM_THREADS": "1"}
    try:
        return subprocess.run([sys.executable, __file__, "with a Hub"], env=env).returncode
    finally:
        server.stop()
        shutil.rmtree(caches)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        raise SystemExit(with_hub())
    HOME.mkdir()  # fails where it exists, since it is removed at the end
    try:
        main()
    finally:
        shutil.rmtree(HOME)
