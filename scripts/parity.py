"""Does a model give the layer values that were published for it? The protocol of Hernández-Cámara et al. 2024.

python scripts/parity.py openai/clip-vit-base-patch16 --data_dir tid2013=PATH [--data_dir nights=PATH] ...

`published_2024.csv` holds 370 values of *Measuring Human-CLIP Alignment at Different Abstraction Levels* (Re-Align
workshop, ICLR 2024), read from the result files of
github.com/pablohc97/Evaluating_Human-CLIP_Alignment_at_Different_Abstraction_Levels @ d1bc46d (no licence stated;
numbers only). Layer 0 is what enters the first block, k the output of block k. Correlations are positive where larger
distances have lower scores.

The protocol differs from this package's benchmarks: all 20,019 rows of NIGHTS with hard votes, THINGS' testset1, a tie
counts as wrong, and hidden states are compared as one vector of all tokens. So its values are in a table of their
own.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
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
from hf_clipdyn.errors import ClipDynError, ConfigError, UnknownNameError, shown
from hf_clipdyn.models.encoder import Encoder, FeaturesOnDevice
from hf_clipdyn.progress import draws_bars
from hf_clipdyn.revisions import open_series
from hf_clipdyn.revisions.names import Name

PUBLISHED = Path(__file__).with_name("published_2024.csv")
KEY = ["benchmark", "layer", "distance", "metric"]
REPRODUCED_WITHIN, CLOSE_WITHIN = 0.002, 0.01
PROJECTION, NOT_COMPARABLE = "projection", "not comparable"
# The source computed its layers without class token and position embedding: they are not the model's.
OTHER_LAYERS = "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"


def mark(difference: float) -> str:
    """``reproduced`` (at most 0.002), ``close`` (at most 0.01) or ``differs``, by the absolute difference."""
    size = abs(difference)
    return "reproduced" if size <= REPRODUCED_WITHIN else "close" if size <= CLOSE_WITHIN else "differs"


def parity(
    model: Name,
    folders: Mapping[str, str | Path],
    *,
    revision: str | None = None,
    beside: str | None = None,
    published: Path = PUBLISHED,
    cache_dir: Path | None = None,
) -> pd.DataFrame:
    """Measure a model by the protocol of 2024 and set each layer beside its published value.

    Args:
        model: ``owner/name``, or a folder.
        folders: of ``tid2013``, ``nights`` and ``things``; benchmarks without one are left out.
        revision: name of the revision; the last one by default.
        beside: another model whose published values are shown, for a model that has none; nothing is then marked.
        published: CSV with the columns of that of 2024.
        cache_dir: folder of the decoded pixels.

    Returns:
        One row per value: benchmark, layer, distance, metric, published, value, difference, mark (``reproduced``,
        ``close``, ``differs``, ``not comparable``), note, n.

    Raises:
        ConfigError: no values are published for this model and these data.
        UnknownNameError: there is no such revision.
        DatasetError: a folder has another layout.
        ModelError: its files are not an image encoder.
    """
    series = open_series(model)
    rows = pd.read_csv(published, dtype={"layer": str})
    is_asked = (rows["model"] == (beside or series.repo_id)) & rows["benchmark"].isin(folders)
    wanted = rows[is_asked & (rows["layer"] != "input")]
    if wanted.empty:
        raise ConfigError(
            f"No values are published for {shown(series.repo_id)} on {', '.join(folders)}: choose one of "
            f"{', '.join(sorted(set(rows['model'])))} and data of {', '.join(BENCHMARKS)}."
        )
    revisions = {one.name: one for one in series.revisions()}
    if revision not in {None, *revisions}:
        raise UnknownNameError("revision", str(revision), revisions)
    encoder = Encoder.from_folder(series.fetch(revisions[revision or list(revisions)[-1]]))
    shows: Any = UnitEncoder(encoder) if _is_siglip(encoder) else encoder  # it reads like one
    # The source took one image at a time; values are the same up to rounding.
    readout = Readout(shows, batch_size=128)
    common = Common(cache_dir=cache_dir, show_progress=draws_bars())
    parts = []
    for name in wanted["benchmark"].unique():
        measure, official = BENCHMARKS[name]
        values, n = measure(Path(folders[name]), encoder.image_processor, readout, common)
        note = "" if n == official else f"{n:,} rows in place of the {official:,} of the published values"
        parts.append(pd.DataFrame(values).assign(benchmark=name, n=n, note=note))
    wanted = wanted.drop(columns="model").rename(columns={"value": "published"})
    table = wanted.merge(pd.concat(parts), how="left", on=KEY, validate="one_to_one")
    table["difference"] = table["value"] - table["published"]
    table["note"] = [_cause(row, encoder, series.repo_id, beside) for row in table.itertuples()]
    table["mark"] = table["difference"].map(mark).mask(table["note"] != "", NOT_COMPARABLE)
    return table[[*KEY, "published", "value", "difference", "mark", "note", "n"]]


class UnitEncoder:
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
    if model == OTHER_LAYERS and row.layer != PROJECTION:
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
    with hook:
        features = encoder.embed_images(np.zeros((1, side, side, 3), np.uint8), hidden=True)
    return not np.allclose(features.hidden[-1], given[-1].float().cpu().numpy(), atol=1e-6)


# --- the three benchmarks: folder, processor, readout, common -> values, and of how many rows ------------------

Values = tuple[list[dict[str, Any]], int]


def tid2013(folder: Path, processor: Any, readout: Readout, common: Common) -> Values:
    """Correlations of distance and opinion score over all pairs; their sign is turned."""
    dataset = load_dataset("tid2013", data_dir=folder, split="test")
    scores = np.array(dataset["score"])
    shown = _images(dataset, processor, ("reference", "distorted"), common)
    rows = []
    for place, (distance,) in distances(shown, [(0, 1)], readout, common):
        rows.append(place | {"metric": "spearman", "value": -stats.spearmanr(distance, scores).statistic})
        if place["distance"] != "normalised_euclidean":
            rows.append(place | {"metric": "pearson", "value": -stats.pearsonr(distance, scores).statistic})
    return rows, len(dataset)


def nights(folder: Path, processor: Any, readout: Readout, common: Common) -> Values:
    """Share of all rows whose nearer candidate is that of the majority; a tie is wrong."""
    splits = load_dataset("nights", data_dir=folder)
    dataset = datasets.concatenate_datasets([splits[name] for name in sorted(splits)])
    second = np.array(dataset["judgement"]) > 0.5
    shown = _images(dataset, processor, ("reference", "image_0", "image_1"), common)
    rows = [
        place | {"metric": "accuracy", "value": float(np.where(second, right < left, left < right).mean())}
        for place, (left, right) in distances(shown, [(0, 1), (0, 2)], readout, common)
    ]
    return rows, len(dataset)


def things(folder: Path, processor: Any, readout: Readout, common: Common) -> Values:
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
    ((pixels, _),) = _images(dataset, processor, ("image",), common)
    shown = [(pixels, column) for column in np.array(triplets, np.int64).reshape(-1, 3).T]
    rows = [
        place | {"metric": "accuracy", "value": float(((chosen < first) & (chosen < second)).mean())}
        for place, (chosen, first, second) in distances(shown, [(0, 1), (0, 2), (1, 2)], readout, common)
    ]
    return rows, len(triplets)


BENCHMARKS: dict[str, tuple[Callable[[Path, Any, Readout, Common], Values], int]] = {
    "tid2013": (tid2013, 3000),
    "nights": (nights, 20_019),
    "things": (things, 15_640),
}
"""What measures each, and how many rows the published values have."""

Images = list[tuple[NDArray[np.uint8], NDArray[np.int64]]]
"""For each position in an item: an array of images, and the row of each item's image in it."""


def _images(dataset: datasets.Dataset, processor: Any, columns: tuple[str, ...], common: Common) -> Images:
    """The images of each column; an item is a row."""
    pixels = [decode(dataset, processor, common, name) for name in columns]
    for one, name in zip(pixels, columns, strict=True):
        if one.broken.any():
            row = int(one.broken.argmax())
            raise ConfigError(
                f"The image in column {name} of row {row} cannot be decoded: parity needs all images."
            )
    return [(one.array, np.arange(len(one))) for one in pixels]


def distances(
    shown: Images, pairs: list[tuple[int, int]], readout: Readout, common: Common
) -> Iterator[tuple[dict[str, str], list[NDArray[np.float64]]]]:
    """For each layer and published distance its columns, and the distances of each pair of positions, (items,) each.

    The unit of a dimension is its mean over all pairs together.
    """
    first, second = (_joined([shown[pair[side]] for pair in pairs]) for side in (0, 1))
    table = pair_distances(readout, first, second, flattened=True, show_progress=common.show_progress)
    for (probe, layer, distance), rows in table.groupby(["probe", "layer", "distance"], dropna=False):
        is_projection, is_flattened = probe == PROJECTION, str(distance).endswith("_flattened")
        if is_flattened == is_projection and distance != "normalised_euclidean":
            continue  # the plain ones at the projection, the flattened ones at hidden states
        values = rows["value"].to_numpy(np.float64).reshape(len(pairs), -1)
        name = str(distance).removesuffix("_flattened")
        yield {"layer": PROJECTION if is_projection else str(layer), "distance": name}, list(values)


def _joined(parts: Images) -> Stimuli:
    """One list of images from rows of several arrays of one length."""
    rows = [number * len(array) + rows for number, (array, rows) in enumerate(parts)]
    return Stimuli(Stacked([array for array, _ in parts]), np.concatenate(rows))


def main() -> None:
    """Print the table and how many values have which mark, and write it if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="with published values: owner/name, or a folder")
    parser.add_argument("--data_dir", "--data-dir", action="append", metavar="NAME=PATH", required=True)
    parser.add_argument("--revision", help="default: the last one")
    parser.add_argument("--beside", help="for a model without published values: those of this one")
    parser.add_argument("--published", type=Path, default=PUBLISHED, help="CSV; default: that of 2024")
    parser.add_argument("--output", "-o", type=Path, help="CSV to write")
    given = vars(parser.parse_args())
    output = given.pop("output")
    folders = dict(one.partition("=")[::2] for one in given.pop("data_dir"))
    try:
        table = parity(given.pop("model"), folders, **given)
    except ClipDynError as error:
        sys.exit(f"parity: error: {error}")
    print(table.to_string(index=False, float_format="{:.4f}".format))
    print(pd.crosstab(table["benchmark"], table["mark"]))
    if output is not None:
        table.to_csv(output, index=False)


if __name__ == "__main__":
    main()
