"""What the revisions of a model answer to one image and to class names of a user's own, and where they attend.

A benchmark says how often a model decides in some way; one image says only what it decided there. The weights are read
as an evaluation reads them, one revision after another.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_clipdyn.benchmarks.classes import default_templates
from hf_clipdyn.benchmarks.registry import kinds, suite
from hf_clipdyn.benchmarks.sources import cues, is_local, local_source
from hf_clipdyn.benchmarks.vectors import similarity
from hf_clipdyn.data.images import Source, decode_image
from hf_clipdyn.data.registry import dataset_metadata
from hf_clipdyn.errors import ClipDynError, ConfigError, ModelError, check_known, naming, shown
from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.models.maps import saliency_maps
from hf_clipdyn.preprocess import resize_and_crop
from hf_clipdyn.results.table import Table, load
from hf_clipdyn.revisions import Revision, Series
from hf_clipdyn.revisions.open import open_measured, open_series

Texts = Literal["own", "last"]
"""Whose text embeddings an image is compared with: those of the same revision, or of the last one."""

PROBES = {"rollout": "attention rollout", "attention": "class token, last block"}
"""Titles of the maps that `attention` gives, by the name that `saliency_maps` knows."""

_IN_MEMORY = 2


class LoadedRevisions:
    """The revisions of one model, of which at most two are in memory.

    Args:
        series: where their files are.
        revisions: in the order of training; all that the series lists by default. Each is read at its commit.
        wanted: names of those that are kept; all by default.
        device: as for `Encoder.from_folder`.

    Raises:
        RevisionNotFoundError: there is no such repository.
        ConfigError: none is left.
    """

    def __init__(
        self,
        series: Series,
        revisions: Sequence[Revision] | None = None,
        *,
        wanted: Sequence[str] = (),
        device: str | None = None,
    ) -> None:
        listed = series.revisions() if revisions is None else revisions
        self.repo_id = series.repo_id
        self.by_name = {one.name: one for one in listed if not wanted or one.name in wanted}
        if not self.by_name:
            has = f"none of {', '.join(wanted)}" if wanted else "no revision that was measured"
            raise ConfigError(f"{series.repo_id} has {has}: `clipdyn revisions` lists what it has.")
        self._series, self._device = series, device
        self._encoders: dict[str, Encoder] = {}  # the most recently used one is the last
        self._lock = threading.RLock()

    @property
    def names(self) -> list[str]:
        """Names of the revisions, in the order of training."""
        return list(self.by_name)

    @property
    def places(self) -> tuple[str, list[float]]:
        """Title of the axis of training, and the place of each revision: epoch, else step, else number in the order."""
        for title in ("epoch", "step"):
            known = [getattr(revision, title) for revision in self.by_name.values()]
            if None not in known and len(set(known)) == len(known):
                return title, [float(place) for place in known]
        return "revision", [float(place) for place in range(len(self.by_name))]

    @contextmanager
    def encoder(self, name: str) -> Iterator[Encoder]:
        """A revision's model, for this thread alone; a third one takes the memory of the one used longest ago.

        Raises:
            UnknownNameError: there is no revision of that name.
            RevisionError: its files cannot be fetched.
            ModelError: they are not an image encoder.
        """
        check_known("revision", [name], self.by_name)
        with self._lock:
            encoder = self._encoders.pop(name, None)
            if encoder is None:
                folder = self._series.fetch(self.by_name[name])
                if len(self._encoders) < _IN_MEMORY:
                    encoder = Encoder.from_folder(folder, device=self._device)
                else:
                    # A model that cannot be read leaves no half of itself behind: its place is given up.
                    encoder = self._encoders.pop(next(iter(self._encoders)))
                    encoder.load(folder)
            self._encoders[name] = encoder
            yield encoder


@dataclass(frozen=True, eq=False)
class Answer:
    """What one revision answers, with one entry for each class.

    Attributes:
        revision: its name.
        probability: softmax over the classes of the cosines times the model's logit scale. The scale grows in training,
            so a probability may rise while the order of the classes does not change. They sum to 1: that no class fits
            is not a possible answer.
        margin: the class's cosine minus the largest cosine of the others, in [-2, 2]; no scale enters.
        rank: 1 for the largest cosine; among equal ones, the lower position comes first.
        problem: why the revision has no answer; all numbers are then NaN, the ranks 0.
    """

    revision: str
    probability: NDArray[np.float64]
    margin: NDArray[np.float64]
    rank: NDArray[np.int64]
    problem: str = ""


def answers(
    revisions: LoadedRevisions, image: Image.Image, texts: Sequence[str], *, whose: Texts = "own"
) -> Iterator[Answer]:
    """The answers of all revisions to one image, in the order of training, each as soon as it is known.

    Args:
        revisions: of the model.
        image: RGB, of any size; the model's own processor resizes and crops it.
        texts: one for each class, see `prompts`; at least two.
        whose: text embeddings of each revision itself, or of the last one for all of them.

    Raises:
        ModelError: with ``whose="last"``, the last revision cannot be read.
    """
    last: NDArray[np.float32] | None = None
    if whose == "last":
        with revisions.encoder(revisions.names[-1]) as encoder:
            last = encoder.embed_texts(texts)
    for name in revisions.names:
        try:
            with revisions.encoder(name) as encoder:
                pixels = resize_and_crop(encoder.image_processor, [image])
                embedding = encoder.embed_images(pixels).projection
                embedded = encoder.embed_texts(texts) if last is None else last
                # The texts of the last revision may have another number of dimensions than these images.
                with naming(f"The texts at {name}", ModelError):
                    likeness = similarity(embedding, embedded)[0]
                answer = scored(name, likeness, encoder.logit_scale)
        except ClipDynError as error:
            nothing = np.full(len(texts), np.nan)
            answer = Answer(name, nothing, nothing, np.zeros(len(texts), np.int64), str(error))
        yield answer


def scored(name: str, cosines: NDArray[np.float64], logit_scale: float) -> Answer:
    """The answer that follows from the cosines of an image with each class's text."""
    order = np.argsort(-cosines, kind="stable")
    rank = np.argsort(order) + 1
    weights = np.exp(logit_scale * (cosines - cosines.max()))
    others = np.where(rank == 1, cosines[order[1]], cosines[order[0]])
    return Answer(name, weights / weights.sum(), cosines - others, rank)


def attention(
    revisions: LoadedRevisions, name: str, image: Image.Image, probe: str
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """What a revision sees of an image, and where it attends.

    Args:
        revisions: of the model.
        name: of the revision.
        image: RGB, of any size.
        probe: one of `PROBES`.

    Returns:
        The model's input, (H, W, 3), and the map on its grid of patches, (rows, columns), scaled to a maximum of 1.

    Raises:
        UnknownNameError: there is no such revision or probe.
        ModelError: the model gives no such map.
    """
    check_known("map", [probe], PROBES)
    with revisions.encoder(name) as encoder:
        pixels = resize_and_crop(encoder.image_processor, [image])
        saliency = saliency_maps(encoder, pixels, [probe])
    if not saliency.maps:
        raise ModelError(next(iter(saliency.unavailable.values())))
    grid = next(iter(saliency.maps.values()))[0]
    return pixels[0], grid / grid.max() if grid.max() > 0 else grid


# --- models and stimuli of this machine --------------------------------------------------------------------------


def measured_revisions(
    results: Table,
    repo_id: str,
    *,
    store: str | Path | None = None,
    wanted: Sequence[str] = (),
    device: str | None = None,
) -> LoadedRevisions:
    """The revisions of a model in tables of results, as far as they are what was measured.

    Args:
        results: of the tables; a run beside one of them is found.
        repo_id: the model's, as in the tables.
        store: folder of a local store.
        wanted: names of revisions; all by default.
        device: as for `Encoder.from_folder`.

    Raises:
        ConfigError: there are none.
        RevisionNotFoundError: there is no such repository.
    """
    series = open_measured(repo_id, results.files, store)
    cells = results.cells[results.cells["repo_id"] == repo_id]
    measured = set(zip(cells["revision"], cells["commit"], strict=True))
    listed = [revision for revision in series.revisions() if (revision.name, revision.commit) in measured]
    return LoadedRevisions(series, listed, wanted=wanted, device=device)


@dataclass(frozen=True, eq=False)
class Opened:
    """Models, and stimuli to ask them about.

    Attributes:
        models: by name.
        benchmarks: `kind/dataset`, those whose images can be shown without a download.
        data_dirs: folders of data sets, by name.
    """

    models: Mapping[str, LoadedRevisions]
    benchmarks: Sequence[str]
    data_dirs: Mapping[str, Path]

    def stimulus(self, benchmark: str, row: int) -> tuple[Image.Image, str, list[str], str]:
        """An image of a benchmark, what the data set says about it, the names of its classes and a text for each.

        Raises:
            ConfigError: the data set is not here, or has no image in such a row.
            DatasetError: its files are broken.
        """
        kind, _, dataset = benchmark.partition("/")
        schemas = kinds()[kind].schemas if benchmark in self.benchmarks else ()
        if not schemas or (source := local_source(dataset, schemas, self.data_dirs.get(dataset))) is None:
            raise ConfigError(f"The images of {shown(benchmark)} are not on this machine: choose others.")
        rows, columns = source.dataset, source.images
        if not columns or not 0 <= row < len(rows):
            raise ConfigError(f"{benchmark} has {len(rows):,} rows, and no image in row {row:,}.")
        classes, by_cue = cues(rows)
        facts = [f"{benchmark}, row {row:,}", *(f"{cue} {values[row]}" for cue, values in by_cue.items())]
        image = picture(rows.select_columns(columns[:1])[row][columns[0]])
        return image, ", ".join(facts), classes, default_templates(dataset_metadata(dataset))[0]


def open_models(
    what: str | Path,
    *,
    store: Path | None = None,
    wanted: Sequence[str] = (),
    device: str | None = None,
    data_dirs: Mapping[str, Path] | None = None,
) -> Opened:
    """The models of a run, a repository or a table of results, and the stimuli of their benchmarks.

    Args:
        what: anything that `open_series` opens, or a table of `clipdyn evaluate`, whose models are opened at the
            commits that were measured.
        store: folder of a store of version 0.3.
        wanted: names of revisions; all by default.
        device: as for `Encoder.from_folder`.
        data_dirs: folders of data sets, by name.

    Raises:
        ConfigError: there is no such run or table, or a model has none of the revisions.
        RevisionNotFoundError: there is no such repository.
    """
    data_dirs = data_dirs or {}
    if Path(what).suffix != ".parquet":
        model = LoadedRevisions(open_series(what, store), wanted=wanted, device=device)
        return Opened({model.repo_id: model}, with_images(suite("embedded"), data_dirs), data_dirs)
    table = load(what)
    models = {
        name: measured_revisions(table, name, store=store, wanted=wanted, device=device)
        for name in table.cells["repo_id"].drop_duplicates().astype(str)
    }
    pairs = table.cells[["kind", "dataset"]].drop_duplicates().to_numpy()
    return Opened(models, with_images([f"{kind}/{name}" for kind, name in pairs], data_dirs), data_dirs)


def with_images(benchmarks: Sequence[str], data_dirs: Mapping[str, Path]) -> list[str]:
    """The benchmarks, `kind/dataset`, whose images can be shown without a download; shape bias first."""
    split = [name.partition("/") for name in benchmarks]
    with_images = [(kind, dataset) for kind, _, dataset in split if kind in kinds() and kinds()[kind].schemas]
    found = [f"{kind}/{name}" for kind, name in with_images if is_local(name, data_dirs.get(name))]
    return sorted(found, key=lambda name: not name.startswith("shape_bias/"))


# --- what is shown and asked ------------------------------------------------------------------------------------


def picture(source: Source | None) -> Image.Image:
    """An image of a user's as RGB, upright.

    Raises:
        ConfigError: there is none, it is not an image, or is damaged.
    """
    if source is None:
        raise ConfigError("There is no image: give one, or show a stimulus.")
    with naming("The image", ConfigError):
        return decode_image(source)


def class_list(text: str) -> list[str]:
    """Class names from one text, separated by commas or line breaks; repetitions are left out.

    Raises:
        ConfigError: there are fewer than two.
    """
    names = [" ".join(name.split()) for name in text.replace("\n", ",").split(",")]
    names = list(dict.fromkeys(filter(None, names)))
    if len(names) < 2:
        raise ConfigError("Give at least two classes, with commas between them: an answer is a choice.")
    return names


def prompts(names: Sequence[str], template: str) -> list[str]:
    """The text of each class: the template with the name in the place of ``{}``.

    Raises:
        ConfigError: the template does not have one such place.
    """
    if template.count("{}") != 1:
        raise ConfigError(f"The text for each class is {shown(template)}: write {{}} once, for its name.")
    return [template.replace("{}", name) for name in names]
