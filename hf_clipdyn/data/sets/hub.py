"""Any data set on the Hub, or any folder of Parquet, that has an image column and captions or labels."""

from hf_clipdyn.data.captioned import CaptionedBuilder
from hf_clipdyn.data.metadata import DatasetMetadata


class Hub(CaptionedBuilder):
    """``load_dataset("hub", repo_id="owner/name")``, or just ``load_dataset("owner/name")``.

    `mirrors.conform` finds the columns.
    """

    metadata = DatasetMetadata(
        kind="captions",
        title="A data set on the Hub with images and captions or labels",
        licence="depends on the data set",
        licence_id="unknown",
        where="the Hub: give its name, owner/name or owner/name@revision",
        config_kinds={"labels": "labels"},
    )
