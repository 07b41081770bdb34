"""THINGS odd-one-out (Hebart et al. 2020, 2023): which of three objects is the odd one?"""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import lines_of, read_csv, read_npy, read_whole_numbers
from hf_clipdyn.errors import DatasetError, naming
from hf_clipdyn.references import reference

_TABLE = "triplets_large_final_correctednc_correctedorder.csv"
_OFFICIAL = {"train": "trainset.txt", "validation": "validationset.txt", "testset1": "testset1.txt"}
_PREPARED = {"train": "train_90.npy", "validation": "test_10.npy"}
_OF_2020 = {"validation": "data1854_batch5_test10.txt"}
_NAMES = ("things_concepts.tsv", "items1854names.tsv")
_REPEATED = ("testset1.txt", "testset2.txt", "testset3.txt")
_CONCEPTS = 1854
_NUMBERED = re.compile(r"(?P<object>.+)_\d\d[a-z]")  # aardvark_01b, aardvark_02s
Ints = NDArray[np.int64]


class Things(DataBuilder):
    """4.7 million judgements of 1,854 objects; kind ``odd_one_out``: one row for each object with its photograph.

    Four layouts are read:

    - the project's text files (``triplet_dataset/*.txt`` with ``unique_id.txt``): splits ``train`` and ``validation``,
      which include the judgements of ``testset1`` to ``testset3`` (repeated to measure agreement between observers;
      ``testset2_repeat``, the same observers again, is left out), and the split ``testset1``;
    - its table of all judgements (``triplets_large_final_correctednc_correctedorder.csv``): split ``complete``; the
      first of an observer's answers to one triplet counts;
    - the files of the alignment papers (``triplets/train_90.npy`` and ``test_10.npy`` with ``things_concepts.tsv``);
    - the files of 2020 (``data1854_batch5_test10.txt`` with ``items1854names.tsv``): split ``validation``. Other users
      disagree about whether its objects are in the order of that list: distrust an accuracy of 1/3.

    The photograph of an object is ``<object>_01b.jpg``, which observers saw (``is_reference`` is true), or
    ``<object>.jpg``, which differs in THINGSplus. If the reference photograph is absent, the object's first one in
    alphabetical order takes its place. An object without a photograph gets no row.
    """

    metadata = DatasetMetadata(
        kind="odd_one_out",
        title="THINGS odd-one-out",
        rows=dict.fromkeys(("train", "validation", "testset1", "complete"), _CONCEPTS),
        licence="judgements CC BY 4.0; photographs for research only",
        licence_id="other",
        where="osf.io/f5rn6 (judgements) and osf.io/jum2f (photographs)",
        citation=reference("hebart2023things"),
        caution="The photographs of the objects may differ from those that observers saw: the table names the part "
        "of the triplets that show the reference photographs.",
    )
    rows_version = 2
    layout = (
        f"unique_id.txt|{'|'.join(_NAMES)}",
        f"triplet_dataset/|triplets/|{_TABLE}|{_OF_2020['validation']}",
    )

    def splits(self) -> list[str]:
        if self.files.named(_TABLE) and not self.files.has_folder("triplet_dataset"):
            return ["complete"]
        return [split for split, name in self._files_of_splits.items() if self.files.named(name)]

    def rows(self, split: str) -> Rows:
        triplets = self._triplets(split)
        repeated = self._repeated() if split in ("train", "validation") else np.empty((0, 3), np.int64)
        every = np.concatenate([triplets, repeated])
        only_repeated = np.repeat([False, True], [len(triplets), len(repeated)])
        order = np.argsort(every[:, 2], kind="stable")
        ends = np.searchsorted(every[order, 2], np.arange(len(self._objects) + 1))
        for odd, name in enumerate(self._objects):
            photograph = self._photograph(name)
            if photograph is None:
                continue
            mine = order[ends[odd] : ends[odd + 1]]
            yield {
                "image": photograph,
                "image_id": name,
                "is_reference": photograph.stem.lower().endswith("_01b"),
                "odd_in": [
                    {
                        "other_0": self._objects[first],
                        "other_1": self._objects[other],
                        "only_repeated": bool(flag),
                    }
                    for (first, other, _), flag in zip(every[mine].tolist(), only_repeated[mine], strict=True)
                ],
            }

    @cached_property
    def _files_of_splits(self) -> dict[str, str]:
        if self.files.has_folder("triplet_dataset"):
            return _OFFICIAL
        return _PREPARED if self.files.has_folder("triplets") else _OF_2020

    @cached_property
    def _objects(self) -> Sequence[str]:
        """The names, in the order in which triplets number them."""
        for path in self.files.named("unique_id.txt"):
            return [line.strip() for line in lines_of(path)]
        return [row["uniqueid"] for row in read_csv(self.files.file(*_NAMES), ["uniqueid"], delimiter="\t")]

    def _photograph(self, name: str) -> Path | None:
        """That of an object; the one that human observers saw, if the name of a file says so."""
        named = self.files.image(f"{name}_01b.jpg") or self.files.image(f"{name}.jpg")
        return named or self._first_photographs.get(name.lower())

    @cached_property
    def _first_photographs(self) -> dict[str, Path]:
        """By object, the first of its numbered photographs in alphabetical order."""
        photographs: dict[str, Path] = {}
        for path in sorted(self.files.images().values(), key=lambda path: path.name.lower()):
            if match := _NUMBERED.fullmatch(path.stem.lower()):
                photographs.setdefault(match["object"], path)
        return photographs

    def _triplets(self, split: str) -> Ints:
        if split == "complete":
            return self._judged_table()
        return self._read(self.files.file(self._files_of_splits[split]))

    def _repeated(self) -> Ints:
        paths = [path for name in _REPEATED for path in self.files.named(name)[:1]]
        return np.concatenate([np.empty((0, 3), np.int64), *map(self._read, paths)])

    def _read(self, path: Path) -> Ints:
        table = read_npy(path) if path.suffix == ".npy" else read_whole_numbers(path)
        return self._checked(table.astype(np.int64), path)

    def _judged_table(self) -> Ints:
        """The triplets of the table of all judgements, the odd one last; one answer of a person to one triplet."""
        path = self.files.file(_TABLE)
        table = read_whole_numbers(path, ["image1", "image2", "image3", "choice", "subject_id"])
        shown, choice, people = table[:, :3] - 1, table[:, 3] - 1, table[:, 4]
        odd_last = np.argsort(np.arange(3) == choice[:, None], axis=1, kind="stable")
        triplets = self._checked(np.take_along_axis(shown, odd_last, axis=1), path)
        if not np.isin(choice, (0, 1, 2)).all():
            raise DatasetError(f"{path} has choices outside 1 to 3: use the official file.")
        asked = np.column_stack([people, np.sort(triplets, axis=1)])
        first = np.unique(asked, axis=0, return_index=True)[1]
        return triplets[np.sort(first)]

    def _checked(self, triplets: Ints, path: Path) -> Ints:
        """Triplets as (n, 3), the odd one last, after a check that they name three objects."""
        with naming(path, DatasetError):
            ordered = np.sort(triplets, axis=1)
            is_listed = np.isin(ordered, np.arange(len(self._objects))).all()
            if triplets.shape[1] != 3 or not is_listed or (np.diff(ordered, axis=1) == 0).any():
                raise DatasetError(f"a triplet does not name three of {len(self._objects):,} objects.")
        return triplets
