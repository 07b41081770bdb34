"""Runs of open_clip's training on the test Hub: random checkpoints, laid out as in laion/scaling-laws-openclip."""

import io
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from hub_server.server import HubServer
from hub_server.state import File, Repo

TINY: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"layers": 1, "width": 64, "image_size": 16, "patch_size": 8},
    "text_cfg": {"layers": 1, "width": 64, "context_length": 77, "vocab_size": 49408, "heads": 1},
}
"""A small architecture with CLIP's own vocabulary, in the form of open_clip's configurations."""


def know_model(folder: Path, name: str, config: Mapping[str, Any] = TINY) -> None:
    """Make an architecture known to open_clip, in the way that it offers."""
    import open_clip

    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / f"{name}.json")


def save_checkpoint(config: Mapping[str, Any], epoch: int, file: Path | io.BytesIO) -> None:
    """Write what open_clip's training saves after an epoch, with random weights and a step of its optimiser."""
    import open_clip

    with torch.random.fork_rng():
        torch.manual_seed(epoch)
        model = open_clip.CLIP(**config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.save(
        {
            "epoch": epoch,
            "name": "a run",
            "state_dict": {f"module.{name}": tensor for name, tensor in model.state_dict().items()},
            "optimizer": optimizer.state_dict(),
        },
        file,
    )


def checkpoint(config: Mapping[str, Any], epoch: int) -> bytes:
    """The content of a file of `save_checkpoint`."""
    saved = io.BytesIO()
    save_checkpoint(config, epoch, saved)
    return saved.getvalue()


def add_checkpoints(
    hub: HubServer, repo_id: str, files: Mapping[str, bytes], kind: str = "models"
) -> Mapping[str, File]:
    """A repository with these files, by their paths; returns what the Hub says of them."""
    repo = hub.state.repos.setdefault((kind, repo_id), Repo(kind, repo_id))
    tree = {"README.md": File.small(b"---\nlicense: mit\n---\n")}
    for path, content in files.items():
        name = sha256(content).hexdigest()
        hub.state.large[name] = content
        tree[path] = File.large(name, len(content))
    repo.commit("main", "checkpoints", tree)
    return tree


if __name__ == "__main__":  # scripts/write_outputs.py: two epochs of a ViT-B-32 with random weights
    import sys

    import open_clip

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    for number in (1, 2):
        save_checkpoint(open_clip.get_model_config("ViT-B-32"), number, folder / f"epoch_{number}.pt")
