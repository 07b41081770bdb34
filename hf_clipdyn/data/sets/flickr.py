"""Flickr8k (Hodosh et al. 2013), Flickr30k (Young et al. 2014), and any folder in their layout."""

from hf_clipdyn.data.captioned import CaptionListBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.references import reference


class Flickr8k(CaptionListBuilder):
    """8,091 photographs with five captions each; kind ``captions``, split ``train``.

    A folder of images, and ``captions.txt``, ``results.csv`` or the ``.token`` list.
    """

    name = "flickr8k"
    metadata = DatasetMetadata(
        kind="captions",
        title="Flickr8k",
        rows={"train": 8091},
        licence="research use only; the photographs belong to their authors on Flickr",
        where="forms.illinois.edu/sec/1713398, or jxie/flickr8k on the Hub",
        citation=reference("hodosh2013framing"),
        mirror="jxie/flickr8k",
    )


class Flickr30k(CaptionListBuilder):
    """31,783 photographs with five captions each; kind ``captions``, split ``train``.

    A folder of images, and ``captions.txt``, ``results.csv`` or the ``.token`` list.
    """

    name = "flickr30k"
    metadata = DatasetMetadata(
        kind="captions",
        title="Flickr30k",
        rows={"train": 31_783},
        licence="research use only; the photographs belong to their authors on Flickr",
        where="shannon.cs.illinois.edu/DenotationGraph, or nlphuji/flickr30k on the Hub",
        citation=reference("young2014image"),
    )
