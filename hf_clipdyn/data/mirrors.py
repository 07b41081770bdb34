"""Tables on the Hub, and Parquet that `clipdyn prepare` wrote, with the columns of their kind.

Nothing is copied: columns are renamed and selected, and images stay in the tables that `datasets` reads.
"""

import re
from collections.abc import Mapping, Sequence
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
from hf_clipdyn.errors import ConfigError, DatasetError, naming

IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp", "picture", "pixel_values")
CAPTION_COLUMNS = (
    *("captions", "caption", "text", "txt", "sentences", "sentence"),
    *("answer", "description", "alt_text"),
)
_NUMBERED_CAPTION = re.compile(r"(?:caption|sentence|text)s?_?\d+")
_ID_COLUMNS = ("image_id", "file_name", "filename", "__key__", "key", "id", "img_id", "cocoid")
_LABEL_COLUMNS = ("label", "fine_label", "labels", "class", "target")
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
    kind = builder.metadata.kind_of(name)
    config = (
        None if name == kind else name
    )  # "labels" and "captions" are ways of reading, no configurations there
    try:
        with naming(where, DatasetError):
            dataset = datasets.load_dataset(where, config, split=split, streaming=streaming, **options)
            conformed = conform(dataset, builder, kind, where, *columns)
    except DatasetError as error:
        if isinstance(error.__cause__, ValueError) and "split" in str(error).lower():
            raise ConfigError(str(error)) from error
        raise
    if builder.exact_rows and not streaming and split is None:
        counts = {known: len(part) for known, part in conformed.items()}
        builder.metadata.check_counts(name or builder.DEFAULT_CONFIG_NAME, counts, where)
    return safe_images(conformed)


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
        parts = {
            split: conform(part, builder, kind, where, image_column, caption_column)
            for split, part in dataset.items()
        }
        return type(dataset)(parts)
    # A stream does not always declare its columns.
    features = dataset.features or dict.fromkeys(next(iter(dataset), {}))
    if kind == "labels":
        return _labels(dataset, features, builder)
    target = features_of(kind)
    if any((image_column, caption_column)) or not set(target) <= set(features):
        if kind == "captions":
            return _captions(dataset, features, image_column, caption_column)
        raise DatasetError(f"{where} has the columns {list(features)}, and {kind} needs {list(target)}.")
    chosen = dataset.select_columns(list(target))
    for column, feature in target.items():
        if features[column] != feature and not isinstance(feature, datasets.ClassLabel):
            chosen = chosen.cast_column(column, feature)
    return chosen


def _pick(features: Mapping[str, Any], names: Sequence[str], what: str) -> str:
    column = next((name for name in names if name in features), None)
    if column is None:
        raise DatasetError(
            f"it has the columns {list(features)}, but none for the {what}: rename one to {names[0]!r}."
        )
    return column


def _image_column(features: Mapping[str, Any]) -> str:
    typed = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    return typed[0] if len(typed) == 1 else _pick(features, IMAGE_COLUMNS, "image")


def _captions(
    dataset: Any, features: Mapping[str, Any], image_column: str | None, caption_column: str | None
) -> Any:
    for option, column in (("image_column", image_column), ("caption_column", caption_column)):
        if column is not None and column not in features:
            raise ConfigError(f"{option} is {column!r}, but the columns are {', '.join(features)}.")
    image = image_column or _image_column(features)
    numbered = sorted(name for name in features if _NUMBERED_CAPTION.fullmatch(name))
    columns = [caption_column] if caption_column else numbered
    columns = columns or [_pick(features, CAPTION_COLUMNS, "caption")]
    identity = next((name for name in _ID_COLUMNS if name in features), None)
    target = features_of("captions")

    def texts(row: Mapping[str, Any], index: int) -> dict[str, Any]:
        cells = [cell if isinstance(cell, list) else [cell or None] for cell in map(row.get, columns)]
        captions = [text for cell in cells for text in cell if text is not None]
        return {"image_id": str(row[identity]) if identity else str(index), "captions": captions}

    if isinstance(dataset, datasets.IterableDataset):
        for name, feature in features.items():
            if isinstance(feature, datasets.Image):  # so that adding columns decodes none of them
                dataset = dataset.cast_column(name, datasets.Image(decode=False))
        stream = dataset.map(
            lambda row, index: {"image": row[image], **texts(row, index)},
            with_indices=True,
            remove_columns=[name for name in features if name != "image"],
        )
        return stream.cast(target)
    textual = dataset.select_columns([*columns, *filter(None, [identity])])
    rows = [texts(row, index) for index, row in enumerate(textual)]
    chosen = dataset.select_columns([image])
    chosen = chosen if image == "image" else chosen.rename_column(image, "image")
    if not isinstance(features[image], datasets.Image):
        chosen = chosen.cast_column("image", datasets.Image())
    for column in ("image_id", "captions"):
        chosen = chosen.add_column(column, [row[column] for row in rows], feature=target[column])
    return chosen


def _labels(dataset: Any, features: Mapping[str, Any], builder: type[DataBuilder]) -> Any:
    """Images and labels; a label is a class with a name, a number of a known class, or the name itself."""
    image, label = _image_column(features), _pick(features, _LABEL_COLUMNS, "label")
    chosen = dataset.select_columns([image, label])
    renamed = {old: new for old, new in ((image, "image"), (label, "label")) if old != new}
    chosen = chosen.rename_columns(renamed) if renamed else chosen
    feature = features[label]
    if isinstance(feature, datasets.ClassLabel):
        names = builder.label_names(feature.names) if issubclass(builder, WordnetBuilder) else feature.names
        is_named = list(names) == feature.names
    elif isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string"):
        return chosen.class_encode_column("label")
    else:
        names, is_named = getattr(builder, "classes", ()), False
        if not names:
            raise DatasetError(f"the labels in {label!r} are numbers without names.")
    return chosen if is_named else chosen.cast_column("label", datasets.ClassLabel(names=list(names)))


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
    wanted = [file for file in files if plain(builder.name) in plain(file)] or None
    with naming(repo_id, DatasetError):
        return Path(
            snapshot_download(
                repo_id, repo_type="dataset", revision=revision, token=token, allow_patterns=wanted
            )
        )
