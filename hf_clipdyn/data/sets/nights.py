"""NIGHTS (Fu et al. 2023): which of two generated variations is more similar to the reference?"""

from functools import cached_property

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import check_new, integer_of, number_of, read_csv
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference

_SPLITS = ("train", "val", "test")
_NEEDED = ("id", "left_vote", "right_vote", "ref_path", "left_path", "right_path", "split")


class Nights(DataBuilder):
    """20,019 triplets; kind ``triplet``, splits ``train``, ``val``, ``test``, subsets ``imagenet``, ``no_imagenet``.

    All rows are included, with their ``votes``. The kind ``similarity`` scores all of them, and those with at least six
    votes separately. A row without one of its variations is dropped; one that lacks only its reference is an error.
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
    def _table(self) -> dict[str, list[tuple[str, dict[str, str]]]]:
        table: dict[str, list[tuple[str, dict[str, str]]]] = {}
        seen: dict[str, str] = {}
        for where, row in read_csv(self.files.file("data.csv").path, _NEEDED):
            if row["split"] not in _SPLITS:
                raise DatasetError(
                    f"{where}: {row['split']!r} is not one of {', '.join(_SPLITS)}: correct that line."
                )
            check_new(seen, f"the triplet {row['id']}", where)
            table.setdefault(row["split"], []).append((where, row))
        return table

    def splits(self) -> list[str]:
        return [name for name in _SPLITS if name in self._table]

    def rows(self, split: str) -> Rows:
        folder = self.files.beside(self.files.file("data.csv"))
        for where, row in self._table[split]:
            left, right = (folder.image(row[column]) for column in ("left_path", "right_path"))
            if left is None or right is None:
                continue
            reference = folder.image(row["ref_path"])
            if reference is None:
                raise DatasetError(f"{where}: the reference {row['ref_path']} is missing: unpack ref/ too.")
            against, prefer = (number_of(row[name], where) for name in ("left_vote", "right_vote"))
            if min(against, prefer) < 0 or against + prefer == 0:
                raise DatasetError(
                    f"{where}: {against:g} and {prefer:g} votes express no preference: correct that line."
                )
            subset = "imagenet" if row.get("is_imagenet", "").lower() in ("true", "1") else "no_imagenet"
            yield {
                "reference": self.image(reference),
                "image_0": self.image(left),
                "image_1": self.image(right),
                "judgement": prefer / (against + prefer),
                "votes": integer_of(row["votes"], where) if row.get("votes") else None,
                "subset": subset,
            }
