"""The files of one revision of a model: download, compare, read."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RevisionResolutionError,
)

from hf_clipdyn.errors import ModelError, RevisionNotFoundError
from hf_clipdyn.models.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from hf_clipdyn.schema import read_any_json

if TYPE_CHECKING:
    import torch

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
_PROVENANCE = {"_name_or_path", "dtype", "problem_type", "torch_dtype", "transformers_version"}


def snapshot_folder(
    repo_id: str,
    revision: str,
    *,
    cache_dir: Path | None = None,
    local_files_only: bool = False,
    token: str | None = None,
    settings_only: bool = False,
) -> Path:
    """Folder with the model files of one revision, downloaded if needed.

    A local store requires ``local_files_only``: the client would retry each optional file for minutes.
    """

    def download(commit: str, *patterns: str) -> Path:
        return Path(
            huggingface_hub.snapshot_download(
                repo_id,
                revision=commit,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                token=token,
                allow_patterns=None if local_files_only else list(patterns),
            )
        )

    try:
        commit = huggingface_hub.resolve_revision(  # a branch may move between two downloads
            repo_id, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only, token=token
        )
        folder = download(commit, *_SETTINGS, *(() if settings_only else _WEIGHTS))
        if not settings_only and not any(folder.glob("*model*.safetensors")):
            folder = download(commit, *_SETTINGS, *_OLDER_WEIGHTS)  # from_pretrained reads these too
    except (
        LocalEntryNotFoundError,
        RevisionResolutionError,
        HfHubHTTPError,
        HFValidationError,
        OSError,
    ) as error:
        here = local_files_only and cache_dir is not None
        place = f"the store {cache_dir}" if here else "the Hub"
        listing = f"clipdyn revisions {repo_id}" + (f" --store {cache_dir}" if here else "")
        raise RevisionNotFoundError(
            f"{place} has no complete revision {revision!r} of {repo_id!r}: "
            f"`{listing}` lists the revisions ({type(error).__name__})."
        ) from error
    return folder


def model_files(folder: Path) -> dict[str, Path]:
    """The files in a folder that `snapshot_folder` would download of a repository, by name."""
    weights = _WEIGHTS if any(folder.glob("*model*.safetensors")) else _OLDER_WEIGHTS
    paths = [path for pattern in (*_SETTINGS, *weights) for path in folder.glob(pattern)]
    return {path.name: path for path in sorted(paths) if path.is_file()}


def settings_digest(folder: Path) -> str:
    """Hash of the files that decide architecture, input and tokens: equal where weights can be swapped."""
    digest = hashlib.sha256()
    for name in _SETTINGS:
        if (folder / name).is_file():
            content = (folder / name).read_bytes()
            if name == "config.json":
                content = _architecture_json(folder)
            digest.update(name.encode() + content)
    return digest.hexdigest()


def architecture_digest(folder: Path) -> str:
    """Hash of the architecture: equal if embeddings have comparable spaces."""
    return hashlib.sha256(_architecture_json(folder)).hexdigest()


def _architecture_json(folder: Path) -> bytes:
    config = read_any_json(folder / "config.json", error=ModelError, not_finite=float)
    return json.dumps(_architecture(config), sort_keys=True).encode()


def _architecture(config: Any) -> Any:
    """A configuration without its origin and its precision."""
    if not isinstance(config, dict):
        return config
    return {key: _architecture(value) for key, value in config.items() if key not in _PROVENANCE}


def weight_files(folder: Path) -> list[Path]:
    """The files with the weights of a snapshot, from its index if it has one."""
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    for index in (folder / "model.safetensors.index.json", folder / "pytorch_model.bin.index.json"):
        if index.is_file():
            return _indexed(index)
    older = folder / "pytorch_model.bin"
    if older.is_file():
        return [older]
    raise ModelError(f"{folder} has no weights: expected model.safetensors.")


def _indexed(index: Path) -> list[Path]:
    try:
        names = sorted(set(read_any_json(index, error=ModelError)["weight_map"].values()))
        files = [index.parent / name for name in names]
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} is not an index of weights ({type(error).__name__}: {error}).") from error
    for file in files:
        if file.parent != index.parent or file.suffix not in (".safetensors", ".bin") or not file.is_file():
            raise ModelError(f"{index} names {file.name!r}, which is not a weight file beside it.")
    return files


def read_weights(folder: Path) -> "dict[str, torch.Tensor]":
    """All tensors of a snapshot, memory-mapped; empty if it has no safetensors."""
    from safetensors.torch import load_file

    tensors: dict[str, torch.Tensor] = {}
    adapters = [folder / ADAPTER_WEIGHTS] if (folder / ADAPTER_WEIGHTS).is_file() else []
    for file in (*weight_files(folder), *adapters):
        if file.suffix != ".safetensors":
            return {}
        tensors.update(load_file(file))
    return tensors
