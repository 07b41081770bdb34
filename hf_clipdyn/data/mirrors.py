"""Give tables on the Hub, or Parquet that `clipdyn prepare` wrote, the columns of their kind.

Nothing is copied: columns are renamed and selected, and images stay in the tables that `datasets` reads.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
from huggingface_hub import HfApi, snapshot_download

from hf_clipdyn.data.archives import is_archive
from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.files import plain
from hf_clipdyn.data.images import safe_images
from hf_clipdyn.data.labels import WordnetBuilder
from hf_clipdyn.data.schemas import features_of
from hf_clipdyn.errors import ClipDynError, ConfigError, DatasetError, shorten, shown
from hf_clipdyn.hub import reason

IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp", "picture", "pixel_values")
CAPTION_COLUMNS = (
    "captions",
    "caption",
    "text",
    "txt",
    "sentences",
    "sentence",
    "answer",
    "description",
    "alt_text",
)
_NUMBERED_CAPTION = re.compile(r"(?:caption|sentence|text)s?_?\d+")
_ID_COLUMNS = ("image_id", "file_name", "filename", "__key__", "key", "id", "img_id", "cocoid")
_LABEL_COLUMNS = ("label", "fine_label", "labels", "class", "target")

_ALIASES: Mapping[str, Sequence[str]] = {
    "reference": ("ref", "ref_img", "reference_image", "ref_image"),
    "distorted": ("dist", "dist_img", "distorted_image", "dis_img", "dist_image"),
    "score": ("mos", "dmos"),
    "score_std": ("mos_std", "dmos_std", "std"),
    "distortion": ("distortion_type", "dist_type", "dis_type"),
    "level": ("distortion_level", "dist_level"),
    "reference_id": ("ref_id", "ref_name"),
    "image_0": ("left", "img_left", "left_image", "p0"),
    "image_1": ("right", "img_right", "right_image", "p1"),
}


# Columns that a mirror may lack, and their values then.
_OPTIONAL: Mapping[str, Any] = {
    "fixation_map": None,
    "human_responses": [],
    "level": None,
    "score_std": math.nan,
    "subset": "",
    "votes": None,
}


def conform(
    dataset: Any,
    builder: type[DataBuilder],
    kind: str,
    where: str,
    image_column: str | None = None,
    caption_column: str | None = None,
) -> Any:
    """Rename and select the columns of a `datasets` object to match ``kind``."""
    if isinstance(dataset, dict):
        return type(dataset)(
            {
                split: conform(part, builder, kind, where, image_column, caption_column)
                for split, part in dataset.items()
            }
        )
    features = _features(dataset, where)
    if kind == "labels":
        return _labels(dataset, features, where, builder)
    if image_column is not None or caption_column is not None:
        return _captions(dataset, features, where, image_column, caption_column)
    target = features_of(kind)
    if all(features.get(column) == feature for column, feature in target.items()):
        return dataset.select_columns(list(target))
    if kind == "captions":
        return _captions(dataset, features, where)
    return _by_alias(dataset, features, kind, builder, where)


def _features(dataset: Any, where: str) -> Mapping[str, Any]:
    features: Mapping[str, Any] | None = dataset.features
    if features is None:  # a stream does not always declare its columns
        features = dict.fromkeys(next(iter(dataset), {}))
    if not features:
        raise DatasetError(f"{where} contains no rows: use another data set.")
    return features


def _pick(features: Mapping[str, Any], names: Sequence[str], what: str, where: str) -> str:
    column = next((name for name in names if name in features), None)
    if column is None:
        raise DatasetError(
            f"{where} has the columns {list(features)}, but none for the {what}: rename one to {names[0]!r}."
        )
    return column


def _image_column(features: Mapping[str, Any], where: str) -> str:
    typed = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    return typed[0] if len(typed) == 1 else _pick(features, IMAGE_COLUMNS, "image", where)


def _captions(
    dataset: Any,
    features: Mapping[str, Any],
    where: str,
    image_column: str | None = None,
    caption_column: str | None = None,
) -> Any:
    for option, column in (("image_column", image_column), ("caption_column", caption_column)):
        if column is not None and column not in features:
            raise ConfigError(f"{option} is {column!r}, but {where} has the columns {', '.join(features)}.")
    image = image_column or _image_column(features, where)
    _check_images(features[image], image, where)
    numbered = sorted(name for name in features if _NUMBERED_CAPTION.fullmatch(name))
    columns = [caption_column] if caption_column else numbered
    columns = columns or [_pick(features, CAPTION_COLUMNS, "caption", where)]
    for column in columns:
        if isinstance(features[column], datasets.Image):
            raise ConfigError(
                f"The column {column!r} of {where} contains images: name the column of the captions."
            )
    identity = next((name for name in _ID_COLUMNS if name in features), None)
    target = features_of("captions")
    texts = _rows_to_captions(columns, identity, where)
    if isinstance(dataset, datasets.IterableDataset):
        stream = _undecoded(dataset, features).map(
            lambda row, index: {"image": row[image], **texts(row, index)},
            with_indices=True,
            remove_columns=[name for name in features if name != "image"],
        )
        return stream.cast(target)
    textual = columns if identity is None else [*columns, identity]
    new = [texts(row, index) for index, row in enumerate(dataset.select_columns(textual))]
    chosen = dataset.select_columns([image]).rename_columns({image: "image"} if image != "image" else {})
    if not isinstance(features[image], datasets.Image):
        chosen = chosen.cast_column("image", datasets.Image())
    for column in ("image_id", "captions"):
        chosen = chosen.add_column(column, [row[column] for row in new], feature=target[column])
    return chosen


def _undecoded(stream: Any, features: Mapping[str, Any]) -> Any:
    """The stream with undecoded images, so that adding columns decodes none of them."""
    for name, feature in features.items():
        if isinstance(feature, datasets.Image):
            stream = stream.cast_column(name, datasets.Image(decode=False))
    return stream


def _check_images(feature: Any, column: str, where: str) -> None:
    """Refuse a column of lists or numbers, which `datasets` would draw as images; a stream may not declare its type."""
    cells = isinstance(feature, dict) and feature.keys() == {"bytes", "path"}
    stored = isinstance(feature, datasets.Value) and re.fullmatch(
        "(large_)?(string|binary)|null", feature.dtype
    )
    if not (feature is None or cells or stored or isinstance(feature, datasets.Image)):
        raise DatasetError(
            f"The column {column!r} of {where} has the type {shorten(str(feature), 60)}: expected images, their bytes "
            "or their paths."
        )


def _rows_to_captions(
    columns: Sequence[str], identity: str | None, where: str
) -> Callable[[Mapping[str, Any], int], dict[str, Any]]:
    def convert(row: Mapping[str, Any], index: int) -> dict[str, Any]:
        texts: list[str] = []
        for column in columns:
            cell = None if row[column] == "" else row[column]
            values = cell if isinstance(cell, list) else [cell]
            for value in values:
                if not isinstance(value, str | None):
                    raise DatasetError(
                        f"Row {index} of the column {column!r} of {where} holds {shown(value)}: expected a caption as "
                        "a text, or a list of them."
                    )
            texts.extend(value for value in values if value is not None)
        return {"image_id": str(row[identity]) if identity else str(index), "captions": texts}

    return convert


def _labels(dataset: Any, features: Mapping[str, Any], where: str, builder: type[DataBuilder]) -> Any:
    image = _image_column(features, where)
    label = _pick(features, _LABEL_COLUMNS, "label", where)
    chosen = dataset.select_columns([image, label])
    chosen = chosen.rename_columns(
        {old: new for old, new in ((image, "image"), (label, "label")) if old != new}
    )
    given: Sequence[str] = getattr(builder, "classes", ())
    names = given
    if isinstance(features[label], datasets.ClassLabel):
        given = features[label].names
        names = builder.label_names(given) if issubclass(builder, WordnetBuilder) else given
        if names == given:
            return chosen
    return chosen.cast_column("label", datasets.ClassLabel(names=list(names))) if names else chosen


def _by_alias(
    dataset: Any, features: Mapping[str, Any], kind: str, builder: type[DataBuilder], where: str
) -> Any:
    target = features_of(kind)
    lowered = {name.lower(): name for name in features}
    sources = {
        column: next((lowered[name] for name in (column, *_ALIASES.get(column, ())) if name in lowered), None)
        for column in target
    }
    defaults = dict(_OPTIONAL)
    if (direction := getattr(builder, "higher_is_better", None)) is not None:
        defaults["higher_is_better"] = direction
    absent = [column for column, name in sources.items() if name is None]
    needed = [column for column in absent if column not in defaults]
    if needed:
        raise DatasetError(
            f"{where} has the columns {list(features)}; as a mirror of {builder.metadata.title} it lacks {needed}: "
            "rename its columns, or give the official folder as data_dir."
        )
    renames = {name: column for column, name in sources.items() if name not in (None, column)}
    renamed = dataset.rename_columns(renames) if renames else dataset
    if isinstance(renamed, datasets.IterableDataset):
        filled = _undecoded(renamed, renamed.features or {}).map(
            lambda row: {column: defaults[column] for column in absent} | row
        )
        return filled.select_columns(list(target)).cast(target)
    for column in absent:
        renamed = renamed.add_column(column, [defaults[column]] * len(renamed), feature=target[column])
    for column, feature in target.items():
        if renamed.features[column] != feature:
            renamed = renamed.cast_column(column, feature)
    return renamed.select_columns(list(target))


# --- from the Hub ---


_TABLES = (".parquet", ".arrow", ".csv", ".jsonl")


def open_tables(
    builder: type[DataBuilder],
    where: str,
    *,
    name: str | None,
    columns: tuple[str | None, str | None],
    split: str | None,
    streaming: bool,
    **options: Any,
) -> Any:
    """A mirror, or a folder of Parquet, with the columns of the builder's kind.

    ``columns`` are those of the images and the captions, if they are not found by type and name.
    """
    with _explained(where):
        dataset = datasets.load_dataset(where, name, split=split, streaming=streaming, **options)
        conformed = conform(dataset, builder, builder.metadata.kind_of(name), where, *columns)
    if builder.exact_rows and not streaming and split is None:
        counts = {known: len(part) for known, part in conformed.items()}
        builder.metadata.check_counts(name or builder.DEFAULT_CONFIG_NAME, counts, where)
    return safe_images(conformed)


def download_archives(
    builder: type[DataBuilder], repo_id: str, revision: str | None, token: str | None
) -> Path | None:
    """Download the official archives of a repository that contains no tables; otherwise None.

    Tar shards count as tables, since `datasets` reads them. If several data sets are in the repository, only archives
    called like this one are downloaded. If the Hub does not answer, the result is None.
    """
    if not builder.layout or "*.tar" in builder.layout:
        return None
    try:
        files = HfApi().list_repo_files(repo_id, repo_type="dataset", revision=revision, token=token)
    except Exception:  # `open_tables` meets the same error, or finds the data set in the cache
        return None
    if not any(map(is_archive, files)) or any(file.endswith(_TABLES) for file in files):
        return None
    wanted = [file for file in files if plain(builder.name) in plain(file)]
    with _explained(repo_id):
        folder = snapshot_download(
            repo_id, repo_type="dataset", revision=revision, token=token, allow_patterns=wanted or None
        )
    return Path(folder)


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Convert errors of the Hub client, of `datasets` and of file systems to one sentence."""
    try:
        yield
    except ClipDynError:
        raise
    except Exception as error:
        if isinstance(error, ValueError) and "split" in str(error).lower():
            raise ConfigError(f"{where}: {error}") from error
        raise DatasetError(
            f"{where} could not be read ({reason(error)}): check the name, the token and the connection, or give "
            "the official folder as data_dir."
        ) from error
