"""Flickr8k (Hodosh et al. 2013), Flickr30k (Young et al. 2014), and any folder in their layout."""

from hf_clipdyn.data.captioned import CaptionListBuilder
from hf_clipdyn.data.metadata import DatasetMetadata


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
        citation="""@article{hodosh2013framing,
  title = {Framing Image Description as a Ranking Task: Data, Models and Evaluation Metrics},
  author = {Hodosh, Micah and Young, Peter and Hockenmaier, Julia},
  journal = {Journal of Artificial Intelligence Research},
  volume = {47},
  pages = {853--899},
  year = {2013}
}""",
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
        citation="""@article{young2014image,
  title = {From image descriptions to visual denotations: New similarity metrics for semantic inference over
           event descriptions},
  author = {Young, Peter and Lai, Alice and Hodosh, Micah and Hockenmaier, Julia},
  journal = {Transactions of the Association for Computational Linguistics},
  volume = {2},
  pages = {67--78},
  year = {2014}
}""",
    )
