"""The files of a model: those of one revision, their digests, their weights, and the adapters among them."""

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
from huggingface_hub.errors import RevisionResolutionError

from hf_clipdyn.errors import ModelError, RevisionNotFoundError, naming
from hf_clipdyn.hub import reason

if TYPE_CHECKING:
    import torch

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""Files of PEFT's adapters, beside which the weights of their base model may lie."""

# With config.json they decide the architecture and the input of a model; when all agree, weights can be swapped.
PROCESSOR_NAMES = (
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
"""Files of an image processor and of a tokenizer."""

_SETTINGS = ("config.json", ADAPTER_CONFIG, *PROCESSOR_NAMES)
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors", ADAPTER_WEIGHTS)
_OLDER_WEIGHTS = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")
_MANIFEST = "revisions.json"  # names the revision when the cache is read offline
_PROVENANCE = {"_name_or_path", "dtype", "problem_type", "torch_dtype", "transformers_version"}


def snapshot_folder(
    repo_id: str, revision: str, *, token: str | None = None, settings_only: bool = False
) -> Path:
    """Folder with the model files of one revision, downloaded if needed.

    Raises:
        RevisionNotFoundError: it is not on the Hub.
    """
    try:
        # A branch may move between two downloads.
        commit = huggingface_hub.resolve_revision(repo_id, revision=revision, token=token)
        download = partial(huggingface_hub.snapshot_download, repo_id, revision=commit, token=token)
        folder = Path(download(allow_patterns=[*_SETTINGS, _MANIFEST, *(() if settings_only else _WEIGHTS)]))
        if not settings_only and _patterns(folder) is _OLDER_WEIGHTS:  # `from_pretrained` reads these too
            folder = Path(download(allow_patterns=[*_SETTINGS, *_OLDER_WEIGHTS]))
    except (RevisionResolutionError, OSError, ValueError) as error:
        raise RevisionNotFoundError(
            f"the Hub has no complete revision {revision!r} of {repo_id!r} ({reason(error)}): "
            f"`clipdyn revisions {repo_id}` lists the revisions."
        ) from error
    return folder


def _patterns(folder: Path) -> tuple[str, ...]:
    """Of the weights in a folder: of the older form if there is no other; other libraries have files of other names."""
    return _WEIGHTS if any(any(folder.glob(pattern)) for pattern in _WEIGHTS) else _OLDER_WEIGHTS


def model_files(folder: Path) -> dict[str, Path]:
    """The files in a folder that `snapshot_folder` would download of a repository, by name."""
    paths = [path for pattern in (*_SETTINGS, *_patterns(folder)) for path in folder.glob(pattern)]
    return {path.name: path for path in sorted(paths) if path.is_file()}


def settings_digest(folder: Path) -> str:
    """Hash of the files that decide architecture, input and tokens: equal where weights can be swapped."""
    digest = hashlib.sha256()
    for name in _SETTINGS:
        path = folder / name
        if path.is_file():
            digest.update(
                name.encode() + (_architecture_json(path) if name == "config.json" else path.read_bytes())
            )
    return digest.hexdigest()


def architecture_digest(folder: Path) -> str:
    """Hash of the architecture: equal if embeddings have comparable spaces."""
    return hashlib.sha256(_architecture_json(folder / "config.json")).hexdigest()


def _architecture_json(path: Path) -> bytes:
    with naming(path, ModelError):
        return json.dumps(architecture(json.loads(path.read_bytes())), sort_keys=True).encode()


def architecture(config: Any) -> Any:
    """A configuration without its origin and its precision."""
    if not isinstance(config, dict):
        return config
    return {key: architecture(value) for key, value in config.items() if key not in _PROVENANCE}


def weight_files(folder: Path) -> list[Path]:
    """The files with the weights of a snapshot, from its index if it has one."""
    for name in (*_WEIGHTS[:2], *_OLDER_WEIGHTS[:2]):
        path = folder / name
        if path.is_file() and path.suffix == ".json":
            with naming(path, ModelError):
                shards = set(json.loads(path.read_bytes())["weight_map"].values())
                files = [folder / name for name in sorted(shards)]
                for file in files:
                    file.stat()  # an error if it is missing
                return files
        if path.is_file():
            return [path]
    raise ModelError(f"{folder} has no weights: expected model.safetensors.")


def read_weights(folder: Path) -> "dict[str, torch.Tensor]":
    """All tensors of a snapshot, memory-mapped; empty if it has no safetensors."""
    from safetensors.torch import load_file

    tensors: dict[str, torch.Tensor] = {}
    for path in (*weight_files(folder), *folder.glob(ADAPTER_WEIGHTS)):
        if path.suffix != ".safetensors":
            return {}
        with naming(path, ModelError):
            tensors |= load_file(path)
    return tensors


# --- adapters of PEFT -----------------------------------------------------------------------------------


def has_adapter(folder: Path) -> bool:
    """Whether the folder has adapters."""
    return (folder / ADAPTER_CONFIG).is_file()


def adapter_base(folder: Path, *, pinned: bool = True) -> tuple[str, str]:
    """Name and commit of the model that adapters were trained on; unless ``pinned``, `main` if they name no commit.

    Raises:
        ModelError: the adapters do not name them.
    """
    path = folder / ADAPTER_CONFIG
    with naming(path, ModelError):
        settings = json.loads(path.read_bytes())
        base, commit = (settings.get(key) for key in ("base_model_name_or_path", "revision"))
    commit = commit or ("" if pinned else "main")
    if not (base and commit):
        raise ModelError(
            f"{path} names no base model with its revision: merge the adapters into the model, and publish that."
        )
    return str(base), str(commit)
