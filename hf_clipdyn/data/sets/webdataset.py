"""Any folder of tar shards of images and captions (the WebDataset format)."""

from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.shards import ShardBuilder


class Webdataset(ShardBuilder):
    """A folder of your own shards; kind ``captions``."""

    metadata = DatasetMetadata(
        kind="captions",
        title="Tar shards of images and captions",
        licence="depends on the shards",
        licence_id="unknown",
        where="your own disk: *.tar of pairs such as 0001.jpg and 0001.txt",
    )
