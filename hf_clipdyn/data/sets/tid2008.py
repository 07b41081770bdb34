"""TID2008 (Ponomarenko et al. 2009): 25 photographs, 17 distortions, four levels."""

from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.sets.tid2013 import Tid2013
from hf_clipdyn.data.tid import TidBuilder


class Tid2008(TidBuilder):
    """1,700 distorted images with their mean opinion scores, 0 to 9, higher is better; split ``test``."""

    metadata = DatasetMetadata(
        kind="quality",
        title="TID2008",
        rows={"test": 1700},
        licence="research use; no licence for redistribution stated",
        where="www.ponomarenko.info/tid2008.htm",
        citation="""@article{ponomarenko2009tid2008,
  title = {{TID2008}: A Database for Evaluation of Full-Reference Visual Quality Assessment Metrics},
  author = {Ponomarenko, Nikolay and Lukin, Vladimir and Zelensky, Alexander and Egiazarian, Karen and
            Carli, Marco and Battisti, Federica},
  journal = {Advances of Modern Radioelectronics},
  volume = {10},
  pages = {30--45},
  year = {2009}
}""",
    )
    distortions = Tid2013.distortions[:17]
