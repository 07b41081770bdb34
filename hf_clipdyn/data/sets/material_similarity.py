"""Material appearance (Lagunas et al. 2019): which of two rendered materials is more similar to the reference?"""

import hashlib
from pathlib import Path

from hf_clipdyn.data.base import DataBuilder, Rows, configs
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import read_json
from hf_clipdyn.errors import DatasetError, naming
from hf_clipdyn.references import reference

_MATERIALS = 100
_SPLITS = ("train", "test")


class MaterialSimilarity(DataBuilder):
    """22,801 training and 3,000 test triplets, ties included; kind ``triplet``.

    The configurations are two renderings of the same 100 materials: ``havran1_stpeters_256x256_LDR`` (default) and
    ``havran1_ennis_298x298_LDR``. The source lists the preferred image first, which would reward a constant
    answer; here a hash of the row decides which of the two is ``image_0``, the same in every run. The source identifies
    images by their position among the sorted file names, so all 100 must exist. ``subset`` is the rendering.
    """

    metadata = DatasetMetadata(
        kind="triplet",
        title="A Similarity Measure for Material Appearance",
        rows={"train": 22_801, "test": 3000},
        licence="GPL-2.0",
        licence_id="gpl-2.0",
        may_redistribute=True,
        where="github.com/mlagunas/material-appearance-similarity",
        citation=reference("lagunas2019similarity"),
    )
    layout = (
        "answers_processed_train.json|answers_processed_test.json",
        "havran1_ennis_298x298_LDR/|havran1_stpeters_256x256_LDR/",
    )
    BUILDER_CONFIGS = configs("havran1_stpeters_256x256_LDR", "havran1_ennis_298x298_LDR")
    DEFAULT_CONFIG_NAME = "havran1_stpeters_256x256_LDR"

    def splits(self) -> list[str]:
        return [name for name in _SPLITS if self.files.named(_answers(name))]

    def rows(self, split: str) -> Rows:
        materials = self._materials()
        path = self.files.file(_answers(split))
        with naming(path, DatasetError):
            content = read_json(path)
            answers = list(zip(content["answers"], content["agreement"], strict=True))
            if any(len({*names}) != 3 or min(names) < 0 or sum(votes) <= 0 for names, votes in answers):
                raise DatasetError("an answer does not compare three materials, or has no votes.")
        for (shown, preferred, other), votes in answers:
            counts = dict(zip((preferred, other), votes, strict=True))
            digest = hashlib.sha256(f"{split} {shown} {preferred} {other}".encode()).digest()
            first, second = (preferred, other) if digest[0] % 2 else (other, preferred)
            yield {
                "reference": materials[shown],
                "image_0": materials[first],
                "image_1": materials[second],
                "judgement": counts[second] / sum(votes),
                "votes": sum(votes),
                "subset": self.config.name,
            }

    def _materials(self) -> list[Path]:
        folder = self.files.folder(self.config.name)
        images = sorted(folder.images().values(), key=lambda path: path.name)
        if len(images) != _MATERIALS:
            raise DatasetError(
                f"{folder.root} contains {len(images)} images instead of {_MATERIALS}, and answers identify them by "
                "position: unpack the complete official folder."
            )
        return images


def _answers(split: str) -> str:
    return f"answers_processed_{split}.json"
