"""RAID (Daudén-Oliver et al. 2026): 24 photographs under rotation, translation, scaling and Gaussian noise."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from hf_clipdyn.data.base import Rows, configs
from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.quality import QualityBuilder, Rating
from hf_clipdyn.data.tables import integer_of, number_of, read_csv
from hf_clipdyn.errors import DatasetError, shown

# The prefix of the file names, the words of the tables, and the name here.
_DISTORTIONS = (
    ("rot", ("rotation",), "rotation"),
    ("trans", ("translation",), "translation"),
    ("scale", ("scale", "scaling"), "scaling"),
    ("gn", ("gaussian_noise", "additive_gaussian_noise"), "Gaussian noise"),
)
_NAME_OF = {prefix: name for prefix, _, name in _DISTORTIONS}
_NAME_OF_WORD = {word: name for _, words, name in _DISTORTIONS for word in words}
_LEVELS = range(1, 11)
# One JOD is a difference that 75 % of the answers see: the scale over its noise, in units of this normal quantile.
_JOD = 0.6744898
_SCALES = ("responses.csv", "raid_jod.csv")
_ANSWERS = ("answers.csv", "raid_quadruples.csv")
_RAW = ("distortion_level_11", "distortion_level_12", "distortion_level_21", "distortion_level_22")
_SUMMED = ("low_a", "low_b", "high_a", "high_b")


@dataclass(frozen=True)
class _Level:
    """An image and its place on the published scale, in JOD."""

    where: str
    reference: str
    distorted: str
    distortion: str
    level: int
    scale: float


class Raid(QualityBuilder):
    """24 photographs, four distortions, ten levels; level 1 is the original; split ``test``.

    Configuration ``jod`` (default; kind ``quality``): the 864 images of levels 2 to 10 with their distance from the
    original in JOD. Configuration ``quadruples`` (kind ``quadruple``): all 960 images with the 20,160 comparisons of
    two pairs of levels, answered by two people each. The files are those of the authors' repository
    (``responses.csv``, ``answers.csv``), or the same values in one table each (``raid_jod.csv``,
    ``raid_quadruples.csv``).
    """

    metadata = DatasetMetadata(
        kind="quality",
        title="RAID",
        rows={"jod/test": 864, "quadruples/test": 960},
        licence="CC BY 4.0",
        licence_id="cc-by-4.0",
        may_redistribute=True,
        where="huggingface.co/datasets/paudauo/Affine_Transformation_Database (images) and "
        "github.com/paudauo/BBDD_Affine_Transformations (answers)",
        citation="""@article{daudenoliver2026raid,
  title = {{RAID}: a database of human responses to affine image distortions},
  author = {Daud{\\'e}n-Oliver, Paula and others},
  journal = {Scientific Data},
  year = {2026},
  doi = {10.1038/s41597-026-06581-0}
}""",
        config_kinds={"quadruples": "quadruple"},
        caution="The number of the level alone correlates 0.865 with the published scale over all images: a "
        "correlation over all distortions says little more than that the distance grows with the level. Two halves of "
        "the people's answers give scales that correlate 0.860.",
    )
    layout = ("|".join(_SCALES),)
    BUILDER_CONFIGS = configs("jod", "quadruples")
    DEFAULT_CONFIG_NAME = "jod"
    higher_is_better = False

    def stimuli(self) -> tuple[FileIndex, FileIndex]:
        return self.files, self.files

    def ratings(self) -> Iterator[Rating]:
        for stimulus in self._levels():
            if stimulus.level > 1:
                yield Rating(
                    distorted=stimulus.distorted,
                    reference=stimulus.reference,
                    distortion=stimulus.distortion,
                    level=stimulus.level,
                    score=stimulus.scale,
                    where=stimulus.where,
                )

    def rows(self, split: str) -> Rows:
        return super().rows(split) if self.config.name == "jod" else self._quadruple_rows()

    def _levels(self) -> Iterator[_Level]:
        path = self.files.file(*_SCALES).path
        for where, row in read_csv(path, []):
            row = {
                "reference": row.get("reference_file", ""),
                "distorted": row.get("distorted_file", ""),
            } | row
            value = row.get("percept_scale", row.get("response", ""))
            prefix, _, rest = row["distorted"].partition("_")
            stem, _, level = rest.rpartition(".")[0].rpartition("_level_")
            if prefix not in _NAME_OF or f"{stem}." not in row["reference"]:
                raise DatasetError(
                    f"{where}: {shown(row['distorted'])} is not a name like rot_img_01_level_02.png of "
                    f"{shown(row['reference'])}: use the official file."
                )
            number = integer_of(level, where)
            if number not in _LEVELS:
                raise DatasetError(f"{where}: the level {number} is outside 1 to 10: use the official file.")
            scale = number_of(value, where) / _JOD
            yield _Level(where, row["reference"], row["distorted"], _NAME_OF[prefix], number, scale)

    def _quadruple_rows(self) -> Rows:
        judged = self._quadruples()
        for stimulus in self._levels():
            image = self.files.image(stimulus.distorted)
            if image is None:
                continue
            reference = stimulus.reference.rpartition(".")[0]
            yield {
                "image": self.image(image),
                "reference_id": reference,
                "distortion": stimulus.distortion,
                "level": stimulus.level,
                "scale": stimulus.scale,
                "quadruples": judged.get((reference, stimulus.distortion, stimulus.level), []),
            }

    def _quadruples(self) -> dict[tuple[str, str, int], list[dict[str, int]]]:
        """The comparisons by reference, distortion and first level, each pair with its lower level first."""
        path = self.files.file(*_ANSWERS).path
        counts: dict[tuple[str, str, int, int, int, int], list[int]] = defaultdict(lambda: [0, 0])
        for where, row in read_csv(path, []):
            word = row.get("transformation", row.get("distortion_type", ""))
            if word not in _NAME_OF_WORD:
                raise DatasetError(
                    f"{where}: {shown(word)} is not a distortion of RAID: use the official file."
                )
            columns = _RAW if _RAW[0] in row else _SUMMED
            numbers = [integer_of(row.get(name), where) for name in columns]
            (a, b), (c, d) = sorted(numbers[:2]), sorted(numbers[2:])
            if not set(numbers) <= set(_LEVELS) or a == b or c == d:
                raise DatasetError(f"{where} does not compare two pairs of levels: use the official file.")
            answers, second = _answers_of(row, where)
            # The official table lists either pair first: here it is the one of the lower levels.
            if (a, b) > (c, d):
                a, b, c, d, second = c, d, a, b, answers - second
            image = f"img_{integer_of(row.get('image_id_01', row.get('image')), where):02d}"
            count = counts[image, _NAME_OF_WORD[word], a, b, c, d]
            count[0] += answers
            count[1] += second
        rows: dict[tuple[str, str, int], list[dict[str, int]]] = defaultdict(list)
        for (image, name, a, b, c, d), (answers, second) in sorted(counts.items()):
            quadruple = {"other": b, "pair_0": c, "pair_1": d, "answers": answers, "second_larger": second}
            rows[image, name, a].append(quadruple)
        return rows


def _answers_of(row: dict[str, str], where: str) -> tuple[int, int]:
    """How many people answered, and how many of them called the second pair the larger difference."""
    if "answers" in row:
        answers, second = (integer_of(row.get(name), where) for name in ("answers", "high_larger"))
    else:
        answers, second = 1, integer_of(row.get("answer"), where) - 1
    if not 0 <= second <= answers or answers == 0:
        raise DatasetError(f"{where}: {second} of {answers} answers is not a count: use the official file.")
    return answers, second
