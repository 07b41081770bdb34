"""The caption of each image of a data set that has none itself, from a file."""

import csv
from collections.abc import Sequence
from pathlib import Path

from hf_clipdyn.errors import ConfigError


def first_captions(path: Path, image_ids: Sequence[str]) -> list[str]:
    """The first caption that a file gives for each image.

    Args:
        path: CSV with the header ``image,caption``; ``image`` is an image's id, or its file name.
        image_ids: the images, in the order of the result.

    Raises:
        ConfigError: the file cannot be read, has other columns, or lacks an image.
    """
    captions: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or ()
            if [names.count(name) for name in ("image", "caption")] != [1, 1]:
                raise ConfigError(
                    f"{path} has the columns {reader.fieldnames}: it needs the columns image and caption, each once."
                )
            for row in reader:
                if row["image"] and row["caption"]:
                    captions.setdefault(row["image"], row["caption"].strip())
                    captions.setdefault(str(Path(row["image"]).with_suffix("")), row["caption"].strip())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"The captions in {path} cannot be read: {error}.") from error
    lacking = [image_id for image_id in image_ids if image_id not in captions]
    if lacking:
        raise ConfigError(
            f"{path} has no caption for {len(lacking)} of {len(image_ids)} images, for example "
            f"{lacking[0]}: in the column image, give the id or the file name of each image."
        )
    return [captions[image_id] for image_id in image_ids]
