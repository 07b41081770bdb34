"""Image-text pairs in tar shards (the WebDataset format): an image, and a text of the same name."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import datasets

from hf_clipdyn.data.archives import read_shard
from hf_clipdyn.data.captioned import CaptionedBuilder, check_absent, split_in
from hf_clipdyn.data.images import IMAGE_SUFFIXES
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference


class ShardBuilder(CaptionedBuilder):
    """``*.tar`` of ``000000000.jpg`` and ``000000000.txt``; other files of a sample (``.json``) are ignored.

    Shards are read one after the other, or in parallel with ``num_proc``; they are never unpacked to disk. The split of
    a shard is in a folder's name or its own (``cc3m-validation-0001.tar``); default: ``train``.
    """

    layout = ("*.tar",)

    def splits(self) -> list[str]:
        return list(self._shards())

    def _shards(self) -> dict[str, list[str]]:
        shards: dict[str, list[str]] = {}
        for file in self.files.files:
            if file.suffix == ".tar":
                split = split_in([*file.parts[:-1], *re.split("[-_]", file.stem)]) or self.default_split
                shards.setdefault(split, []).append(file.path)
        return shards

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        # `datasets` divides a list among the arguments over processes and workers.
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"shards": shards})
            for split, shards in self._shards().items()
        ]

    def _generate_examples(self, shards: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for shard in shards:
            total = incomplete = 0
            for key, parts in read_shard(shard):
                total += 1
                suffix = next((name for name in parts if f".{name}" in IMAGE_SUFFIXES), None)
                text = parts.get("txt", b"").decode("utf-8", "replace").strip()
                if suffix is None or not text:
                    incomplete += 1
                    continue
                row = {
                    "image": {"path": f"{key}.{suffix}", "bytes": parts[suffix]},
                    "image_id": key,
                    "captions": [text],
                }
                yield f"{shard}/{key}", row
            if total == 0:
                raise DatasetError(f"{shard} contains no samples: download it again.")
            check_absent(
                incomplete,
                total,
                f"samples of {shard} lack an image or a text",
                "complete them, or remove the shard",
            )


class Webdataset(ShardBuilder):
    """A folder of your own shards; kind ``captions``."""

    metadata = DatasetMetadata(
        kind="captions",
        title="Tar shards of images and captions",
        licence="depends on the shards",
        licence_id="unknown",
        where="your own disk: *.tar of pairs such as 0001.jpg and 0001.txt",
    )


class Cc3m(ShardBuilder):
    """About 3.3 million pairs at publication; kind ``captions``, splits ``train`` and ``validation``."""

    name = "cc3m"
    metadata = DatasetMetadata(
        kind="captions",
        title="Conceptual Captions",
        licence="Google's terms for the captions; the photographs belong to their authors",
        where="ai.google.com/research/ConceptualCaptions (links), or pixparse/cc3m-wds on the Hub (shards)",
        citation=reference("sharma2018conceptual"),
        mirror="pixparse/cc3m-wds",
    )


class Cc12m(ShardBuilder):
    """About 12 million pairs at publication; kind ``captions``, split ``train``."""

    name = "cc12m"
    metadata = DatasetMetadata(
        kind="captions",
        title="Conceptual 12M",
        licence="Google's terms for the captions; the photographs belong to their authors",
        where="github.com/google-research-datasets/conceptual-12m (links), or pixparse/cc12m-wds on the Hub (shards)",
        citation=reference("changpinyo2021conceptual"),
        mirror="pixparse/cc12m-wds",
    )
