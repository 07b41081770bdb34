"""Flickr8k (Hodosh et al. 2013), and any folder in its layout: photographs and a ``captions.txt``."""

from hf_clipdyn.data.captioned import CaptionListBuilder
from hf_clipdyn.data.metadata import DatasetMetadata


class Flickr8k(CaptionListBuilder):
    """8,091 photographs with five captions each; kind ``captions``, split ``train``."""

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
