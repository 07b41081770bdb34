"""NIGHTS (Fu et al. 2023): which of two generated variations is more similar to the reference?"""

from functools import cached_property

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import Row, read_csv
from hf_clipdyn.references import reference

_SPLITS = ("train", "val", "test")
_NEEDED = ("left_vote", "right_vote", "ref_path", "left_path", "right_path", "split")


class Nights(DataBuilder):
    """20,019 triplets; kind ``triplet``, splits ``train``, ``val``, ``test``, subsets ``imagenet``, ``no_imagenet``.

    All rows are included, with their ``votes``. The kind ``similarity`` scores all of them, and those with at least six
    votes separately. A row without one of its images is dropped.
    """

    metadata = DatasetMetadata(
        kind="triplet",
        title="NIGHTS",
        rows={"total": 20_019},
        licence="MIT",
        licence_id="mit",
        may_redistribute=True,
        where="github.com/ssundaram21/dreamsim (dataset/download_dataset.sh)",
        citation=reference("fu2023dreamsim"),
    )
    layout = ("ref/", "distort/", "data.csv")

    @cached_property
    def _table(self) -> list[Row]:
        return read_csv(self.files.file("data.csv"), _NEEDED)

    def splits(self) -> list[str]:
        return [name for name in _SPLITS if any(row["split"] == name for row in self._table)]

    def rows(self, split: str) -> Rows:
        folder = self.files.beside("data.csv")
        for row in self._table:
            if row["split"] != split:
                continue
            images = [folder.image(row[f"{name}_path"]) for name in ("ref", "left", "right")]
            if None in images:
                continue
            against, prefer = row.number("left_vote"), row.number("right_vote")
            is_imagenet = row.get("is_imagenet", "").lower() in ("true", "1")
            yield {
                **dict(zip(("reference", "image_0", "image_1"), images, strict=True)),
                "judgement": prefer / (against + prefer),
                "votes": row.integer("votes") if row.get("votes") else None,
                "subset": "imagenet" if is_imagenet else "no_imagenet",
            }
