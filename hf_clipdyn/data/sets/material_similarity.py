"""Material appearance (Lagunas et al. 2019): which of two rendered materials is more similar to the reference?"""

import hashlib
from typing import Any

from hf_clipdyn.data.base import DataBuilder, Rows, configs
from hf_clipdyn.data.files import SourceFile
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import check_new, read_json
from hf_clipdyn.errors import DatasetError
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
        path = self.files.file(_answers(split)).path
        content = read_json(path)
        if not isinstance(content, dict) or not {"answers", "agreement"} <= set(content):
            raise DatasetError(f"{path} lacks answers or agreement: use the official file.")
        answers, agreement = content["answers"], content["agreement"]
        if len(answers) != len(agreement):
            raise DatasetError(
                f"{path} has {len(answers)} answers and {len(agreement)} agreements: use the official file."
            )
        seen: dict[str, str] = {}
        for number, (answer, votes) in enumerate(zip(answers, agreement, strict=True)):
            where = f"{path}, answer {number}"
            reference, preferred, other = _whole_numbers(answer, 3, _MATERIALS - 1, where)
            counts = dict(zip((preferred, other), _whole_numbers(votes, 2, None, where), strict=False))
            if len({reference, preferred, other}) < 3 or sum(counts.values()) == 0:
                raise DatasetError(
                    f"{where} compares an image with itself or has no votes: use the official file."
                )
            check_new(seen, f"the triplet {(reference, *sorted((preferred, other)))}", where)
            digest = hashlib.sha256(f"{split} {reference} {preferred} {other}".encode()).digest()
            first, second = (preferred, other) if digest[0] % 2 else (other, preferred)
            yield {
                "reference": self.image(materials[reference]),
                "image_0": self.image(materials[first]),
                "image_1": self.image(materials[second]),
                "judgement": counts[second] / sum(counts.values()),
                "votes": sum(counts.values()),
                "subset": self.config.name,
            }

    def _materials(self) -> list[SourceFile]:
        folder = self.files.folder(self.config.name)
        images = sorted(folder.images(), key=lambda file: file.name)
        if len(images) != _MATERIALS:
            raise DatasetError(
                f"{folder.root} contains {len(images)} images instead of {_MATERIALS}, and answers identify them by "
                "position: unpack the complete official folder."
            )
        return images


def _answers(split: str) -> str:
    return f"answers_processed_{split}.json"


def _whole_numbers(values: Any, count: int, largest: int | None, where: str) -> list[int]:
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(type(value) is int and value >= 0 for value in values)
        or (largest is not None and max(values) > largest)
    ):
        raise DatasetError(
            f"{where}: {values!r} is not {count} whole numbers in range: use the official file."
        )
    return values
