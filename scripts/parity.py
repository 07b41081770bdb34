"""Does a model give the layer values that were published for it? The protocol of Hernández-Cámara et al. 2024.

python scripts/parity.py openai/clip-vit-base-patch16 --data-dir tid2013=PATH [--data-dir nights=PATH] ...

`published_2024.csv` holds 370 values of *Measuring Human-CLIP Alignment at Different Abstraction Levels* (Re-Align
workshop, ICLR 2024), read from the result files of
github.com/pablohc97/Evaluating_Human-CLIP_Alignment_at_Different_Abstraction_Levels @ d1bc46d (no licence stated;
numbers only).

The protocol differs from this package's benchmarks: all 20,019 rows of NIGHTS with hard votes, THINGS' testset1, a tie
counts as wrong, and hidden states are compared as one vector of all tokens. So its values are in a table of their
own.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import stats

from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.benchmarks.pairs import pair_distances
from hf_clipdyn.benchmarks.places import Stacked
from hf_clipdyn.benchmarks.readout import Readout, Stimuli, decode
from hf_clipdyn.data import load_dataset
from hf_clipdyn.data.tables import read_csv
from hf_clipdyn.errors import ClipDynError, ConfigError, UnknownNameError, shown
from hf_clipdyn.evaluation.processes import check_device
from hf_clipdyn.models.encoder import Encoder, FeaturesOnDevice
from hf_clipdyn.revisions import Revision, Series, open_series
from hf_clipdyn.revisions.names import Name

Floats = NDArray[np.float64]
REPRODUCED, CLOSE, DIFFERS, NOT_COMPARABLE = "reproduced", "close", "differs", "not comparable"
MARKS = (REPRODUCED, CLOSE, DIFFERS, NOT_COMPARABLE)
_REPRODUCED_WITHIN, _CLOSE_WITHIN = 0.002, 0.01
_PROJECTION, _INPUT = "projection", "input"
# The source computed its layers without class token and position embedding: they are not the model's.
_OTHER_LAYERS = "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"


@dataclass(frozen=True)
class Published:
    """One published value.

    Attributes:
        model: its name on the Hub.
        benchmark: ``tid2013``, ``nights`` or ``things``.
        layer: ``0`` for what enters the first block, ``k`` for the output of block k, or ``projection``.
        distance: ``normalised_euclidean``, ``euclidean`` or ``cosine``; the last two of flattened hidden states.
        metric: ``spearman``, ``pearson`` (both positive where larger distances have lower scores) or ``accuracy``.
        value: as published.
    """

    model: str
    benchmark: str
    layer: str
    distance: str
    metric: str
    value: float


def read_published(path: Path | None = None) -> list[Published]:
    """The published values of a CSV with the columns of `Published`; None is the table of 2024.

    Raises:
        DatasetError: the file is not such a table.
    """
    where = path or Path(__file__).with_name("published_2024.csv")
    names = ("model", "benchmark", "layer", "distance", "metric", "value")
    rows = []
    for row in read_csv(where, names):
        if row["layer"] not in (_PROJECTION, _INPUT):
            row.integer("layer")
        rows.append(Published(**{name: row[name] for name in names[:-1]}, value=row.number("value")))
    return rows


def mark(difference: float) -> str:
    """``reproduced`` (at most 0.002), ``close`` (at most 0.01) or ``differs``, by the absolute difference."""
    size = abs(difference)
    return REPRODUCED if size <= _REPRODUCED_WITHIN else CLOSE if size <= _CLOSE_WITHIN else DIFFERS


def parity(
    repo_id: Name,
    *,
    data_dirs: Mapping[str, str | Path],
    revision: str | None = None,
    beside: str | None = None,
    published: Path | None = None,
    store: Name | None = None,
    token: str | None = None,
    device: str | None = None,
    batch_size: int = 128,
    cache_dir: Path | None = None,
    show_progress: bool = True,
) -> pd.DataFrame:
    """Measure a model by the protocol of 2024 and set each layer beside its published value.

    Args:
        repo_id: the model: ``owner/name``, or a folder.
        data_dirs: folder of ``tid2013``, ``nights`` and ``things``; benchmarks without one are left out.
        revision: name of the revision; the last one by default.
        beside: another model whose published values are shown, for a model that has none; nothing is then marked.
        published: CSV in place of the table of 2024; see `read_published`.
        store: folder of a local store; None asks the Hub.
        token: for private repositories.
        device: as in `evaluate_revisions`.
        batch_size: images per forward pass. The source took one at a time; values are the same up to rounding.
        cache_dir: folder of the decoded pixels.
        show_progress: progress bars.

    Returns:
        One row per value: model, revision, commit, benchmark, layer, distance (``cosine_flattened`` and
        ``euclidean_flattened`` compare hidden states as one vector), metric, value, published, difference,
        mark (``reproduced``, ``close``, ``differs``, ``not comparable``), note, n.

    Raises:
        ConfigError: no values are published for this model, no data or others are given, or torch cannot compute on
            the device.
        DatasetError: a folder has another layout.
        RevisionError: there is no such revision.
        ModelError: its files are not an image encoder.
    """
    check_device(device)
    for name in data_dirs:
        if name not in _BENCHMARKS:
            raise UnknownNameError("data set with published values", name, _BENCHMARKS)
    series = open_series(repo_id, store, token)
    wanted = _published_for(beside or series.repo_id, published)
    wanted = wanted[wanted["benchmark"].isin(_BENCHMARKS.keys() & data_dirs.keys())]
    if wanted.empty:
        raise ConfigError(
            f"No data are given: name the folder of {' or '.join(_BENCHMARKS)} with `data_dirs`."
        )
    chosen = _chosen(series, revision)
    encoder = Encoder.from_folder(series.fetch(chosen), device=device)
    readout = Readout(
        _Unit(encoder) if _is_siglip(encoder) else encoder,  # type: ignore[arg-type]  # it reads like one
        batch_size=batch_size,
        name=chosen.name,
    )
    common = Common(cache_dir=cache_dir, show_progress=show_progress)
    parts = []
    for name in wanted["benchmark"].unique():
        values, incomplete = _BENCHMARKS[name](
            Path(data_dirs[name]), encoder.image_processor, readout, common
        )
        parts.append(values.assign(benchmark=name, note=incomplete))
    measured = pd.concat(parts, ignore_index=True)
    key = ["benchmark", "layer", "distance", "metric"]
    table = wanted.merge(measured, on=key, how="left", validate="one_to_one")
    table["difference"] = table["value"] - table["published"]
    table["note"] = [_cause(row, encoder, series.repo_id, beside) for row in table.itertuples()]
    table["mark"] = [mark(one) for one in table["difference"]]
    table.loc[table["note"] != "", "mark"] = NOT_COMPARABLE
    # Their plain distances of a hidden state are this package's flattened ones.
    flattened = (table["layer"] != _PROJECTION) & (table["distance"] != "normalised_euclidean")
    table["distance"] = table["distance"].where(~flattened, table["distance"] + "_flattened")
    named = table.assign(model=series.repo_id, revision=chosen.name, commit=chosen.commit)
    return named[
        ["model", "revision", "commit", *key, "value", "published", "difference", "mark", "note", "n"]
    ]


def _published_for(model: str, path: Path | None) -> pd.DataFrame:
    """The values of one model, by benchmark, layer, distance and metric."""
    rows = read_published(path)
    wanted = [vars(one) for one in rows if one.model == model and one.layer != _INPUT]
    if not wanted:
        known = sorted({one.model for one in rows if one.layer != _INPUT})
        raise ConfigError(
            f"No values are published for {shown(model)}: choose one of {', '.join(known)}, or name one of them with "
            "`beside`."
        )
    return pd.DataFrame(wanted).drop(columns="model").rename(columns={"value": "published"})


def _chosen(series: Series, revision: str | None) -> Revision:
    listed = {one.name: one for one in series.revisions()}
    if revision is None:
        return list(listed.values())[-1]
    if revision not in listed:
        raise UnknownNameError("revision", revision, listed)
    return listed[revision]


def summarise_parity(table: pd.DataFrame) -> list[str]:
    """Sentences: how many values of each benchmark have which mark, and the largest difference with its layer."""
    sentences = []
    for benchmark, rows in table.groupby("benchmark", sort=False):
        counts = [f"{(rows['mark'] == one).sum()} {one}" for one in MARKS if (rows["mark"] == one).any()]
        marked = rows[rows["mark"] != NOT_COMPARABLE]
        sentence = f"{benchmark}: of {len(rows)} values {', '.join(counts)}"
        if len(marked):
            worst = marked.iloc[int(marked["difference"].abs().argmax())].to_dict()
            place = worst["layer"] if worst["layer"] == _PROJECTION else f"layer {worst['layer']}"
            sentence += f"; the largest difference is {worst['difference']:+.4f}, at {place} "
            sentence += f"({worst['distance']}, {worst['metric']})"
        causes = sorted(set(rows.loc[rows["mark"] == NOT_COMPARABLE, "note"]))
        sentences.append(f"{sentence}.{''.join(f' Not comparable: {cause}.' for cause in causes)}")
    return sentences


def render_parity(table: pd.DataFrame) -> str:
    """The table as text."""
    shown = table[["benchmark", "layer", "distance", "metric", "value", "published", "difference", "mark"]]
    formats: dict[str, Callable[[float], str]] = {
        "value": "{:.4f}".format,
        "published": "{:.4f}".format,
        "difference": "{:+.4f}".format,
    }
    return shown.to_string(index=False, formatters=formats)


class _Unit:
    """An encoder whose projections have length 1, as those of SigLIP's joint model."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def show_images(self, pixels: NDArray[np.uint8], **options: Any) -> FeaturesOnDevice:
        features = self._encoder.show_images(pixels, **options)
        (projection,) = features.projection
        return features._replace(projection=(torch.nn.functional.normalize(projection),))


def _is_siglip(encoder: Encoder) -> bool:
    return str(encoder.model.config.model_type).startswith("siglip")


def _cause(row: Any, encoder: Encoder, model: str, beside: str | None) -> str:
    """Why a value cannot be compared with the published one; empty if it can."""
    if pd.isna(row.value):
        return "the model has no such layer"
    if beside is not None:
        return f"the values belong to {beside}, another model"
    if model == _OTHER_LAYERS and row.layer != _PROJECTION:
        return "the published layers were computed without the class token and the position embedding"
    last = encoder.model.config.vision_config.num_hidden_layers
    if row.layer == str(last) and _normalises_last(encoder):
        return "this version of transformers normalises the last hidden state"
    return str(row.note)


@torch.inference_mode()
def _normalises_last(encoder: Encoder) -> bool:
    """Whether the last of the hidden states is not the output of the last block."""
    given: list[torch.Tensor] = []
    vision = encoder.model.vision_model
    hook = vision.encoder.layers[-1].register_forward_hook(
        lambda _module, _args, output: given.append(output[0] if isinstance(output, tuple) else output)
    )
    side = encoder.model.config.vision_config.image_size
    try:
        features = encoder.embed_images(np.zeros((1, side, side, 3), np.uint8), hidden=True)
    finally:
        hook.remove()
    return not np.allclose(features.hidden[-1], given[-1].float().cpu().numpy(), atol=1e-6)


# --- the three benchmarks: folder, processor, readout, common -> values, and why they are not the whole ---------------

_Values = tuple[pd.DataFrame, str]


def _tid2013(folder: Path, processor: Any, readout: Readout, common: Common) -> _Values:
    """Correlations of distance and opinion score over all pairs; their sign is turned."""
    dataset = load_dataset("tid2013", data_dir=folder, split="test")
    scores = np.array(dataset["score"])
    pairs = _Images(dataset, processor, ("reference", "distorted"), common)
    rows = []
    for place, (distance,) in pairs.distances(readout, [(0, 1)]):
        rows.append(place | {"metric": "spearman", "value": -stats.spearmanr(distance, scores).statistic})
        if place["distance"] != "normalised_euclidean":
            rows.append(place | {"metric": "pearson", "value": -stats.pearsonr(distance, scores).statistic})
    return _counted(rows, len(dataset), 3000)


def _nights(folder: Path, processor: Any, readout: Readout, common: Common) -> _Values:
    """Share of all rows whose nearer candidate is that of the majority; a tie is wrong."""
    splits = load_dataset("nights", data_dir=folder)
    dataset = datasets.concatenate_datasets([splits[name] for name in sorted(splits)])
    second = np.array(dataset["judgement"]) > 0.5
    pairs = _Images(dataset, processor, ("reference", "image_0", "image_1"), common)
    rows = [
        place | {"metric": "accuracy", "value": float(np.where(second, right < left, left < right).mean())}
        for place, (left, right) in pairs.distances(readout, [(0, 1), (0, 2)])
    ]
    return _counted(rows, len(dataset), 20_019)


def _things(folder: Path, processor: Any, readout: Readout, common: Common) -> _Values:
    """Share of testset1 whose chosen pair is strictly the nearest; a tie is wrong."""
    dataset = load_dataset("things", data_dir=folder, split="testset1")
    judged = dataset.select_columns(["image_id", "odd_in"]).to_pandas()
    row_of = {name: row for row, name in enumerate(judged["image_id"])}
    triplets = [
        (row_of[one["other_0"]], row_of[one["other_1"]], odd)
        for odd, listed in enumerate(judged["odd_in"])
        for one in listed
        if one["other_0"] in row_of and one["other_1"] in row_of
    ]
    pairs = _Images(dataset, processor, ("image",), common, np.array(triplets, np.int64).reshape(-1, 3))
    rows = [
        place | {"metric": "accuracy", "value": float(((chosen < first) & (chosen < second)).mean())}
        for place, (chosen, first, second) in pairs.distances(readout, [(0, 1), (0, 2), (1, 2)])
    ]
    return _counted(rows, len(triplets), 15_640)


_BENCHMARKS: dict[str, Callable[[Path, Any, Readout, Common], _Values]] = {
    "tid2013": _tid2013,
    "nights": _nights,
    "things": _things,
}


def _counted(rows: list[dict[str, Any]], n: int, official: int) -> _Values:
    note = "" if n == official else f"{n:,} rows in place of the {official:,} of the published values"
    return pd.DataFrame(rows).assign(n=n), note


class _Images:
    """The images of each item, from one column an image, or by their rows in one column.

    Args:
        dataset, processor, columns: of the images.
        rows: (items, images) rows in the only column; None: an item is a row, with one image in each column.
    """

    def __init__(
        self,
        dataset: datasets.Dataset,
        processor: Any,
        columns: tuple[str, ...],
        common: Common,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        pixels = [decode(dataset, processor, common, name) for name in columns]
        for one, name in zip(pixels, columns, strict=True):
            if one.broken.any():
                row = int(one.broken.argmax())
                raise ConfigError(
                    f"The image in column {name} of row {row} cannot be decoded: parity needs all images."
                )
        self._show_progress = common.show_progress
        if rows is not None:
            self._shown = [(pixels[0].array, column) for column in rows.T]
        else:
            self._shown = [(one.array, np.arange(len(one))) for one in pixels]

    def distances(
        self, readout: Readout, pairs: list[tuple[int, int]]
    ) -> Iterator[tuple[dict[str, str], list[Floats]]]:
        """For each layer and published distance its columns, and the distances of each pair, (items,) each.

        Args:
            readout: the model.
            pairs: positions of the images to compare. The unit of a dimension is its mean over all pairs together.
        """
        first, second = (_joined([self._shown[pair[side]] for pair in pairs]) for side in (0, 1))
        table = pair_distances(readout, first, second, flattened=True, show_progress=self._show_progress)
        n = len(self._shown[0][1])
        for (probe, layer, distance), rows in table.groupby(["probe", "layer", "distance"], dropna=False):
            is_projection = probe == _PROJECTION
            published = str(distance) if is_projection else str(distance).removesuffix("_flattened")
            if str(distance).endswith("_flattened") == is_projection and distance != "normalised_euclidean":
                continue  # the plain ones at the projection, the flattened ones at hidden states
            values = rows["value"].to_numpy(np.float64).reshape(len(pairs), n)
            yield {"layer": _PROJECTION if is_projection else str(layer), "distance": published}, list(values)


def _joined(parts: list[tuple[NDArray[np.uint8], NDArray[np.int64]]]) -> Stimuli:
    """One list of images from rows of several arrays of one length."""
    rows = [number * len(array) + rows for number, (array, rows) in enumerate(parts)]
    return Stimuli(Stacked([array for array, _ in parts]), np.concatenate(rows))


def main() -> None:
    """Print the table and its summary, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repo", help="model with published values: owner/name, or a folder")
    parser.add_argument(
        "--data-dir",
        action="append",
        metavar="NAME=PATH",
        required=True,
        help="folder of tid2013, nights or things",
    )
    parser.add_argument("--revision", help="default: the last one")
    parser.add_argument(
        "--beside", help="for a model without published values: compare with those of this one"
    )
    parser.add_argument("--published", type=Path, help="CSV of published values; default: those of 2024")
    parser.add_argument("--store", type=Path, help="store of version 0.3; default: the Hub")
    parser.add_argument("--output", "-o", type=Path, help="CSV to write")
    parser.add_argument("--device", help="default: the GPU if there is one")
    parser.add_argument("--batch-size", type=int, default=128)
    given = vars(parser.parse_args())
    output = given.pop("output")
    folders = dict(one.partition("=")[::2] for one in given.pop("data_dir"))
    try:
        table = parity(given.pop("repo"), data_dirs=folders, show_progress=sys.stderr.isatty(), **given)
    except ClipDynError as error:
        sys.exit(f"parity: error: {error}")
    print(render_parity(table))
    print(*(f"- {sentence}" for sentence in summarise_parity(table)), sep="\n")
    if output is not None:
        table.to_csv(output, index=False)


if __name__ == "__main__":
    main()
