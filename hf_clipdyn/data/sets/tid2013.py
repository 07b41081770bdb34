"""TID2013 (Ponomarenko et al. 2015): 25 photographs, 24 distortions, five levels."""

from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tid import TidBuilder


class Tid2013(TidBuilder):
    """3,000 distorted images with their mean opinion scores, 0 to 9, higher is better; split ``test``."""

    metadata = DatasetMetadata(
        kind="quality",
        title="TID2013",
        rows={"test": 3000},
        licence="research use; no licence for redistribution stated",
        where="www.ponomarenko.info/tid2013.htm",
        citation="""@article{ponomarenko2015image,
  title = {Image database {TID2013}: Peculiarities, results and perspectives},
  author = {Ponomarenko, Nikolay and Jin, Lina and Ieremeiev, Oleg and Lukin, Vladimir and Egiazarian, Karen
            and Astola, Jaakko and Vozel, Benoit and Chehdi, Kacem and Carli, Marco and Battisti, Federica and
            Kuo, C.-C. Jay},
  journal = {Signal Processing: Image Communication},
  volume = {30},
  pages = {57--77},
  year = {2015}
}""",
    )
    distortions = (
        "additive Gaussian noise",
        "additive noise in color components",
        "spatially correlated noise",
        "masked noise",
        "high frequency noise",
        "impulse noise",
        "quantization noise",
        "Gaussian blur",
        "image denoising",
        "JPEG compression",
        "JPEG2000 compression",
        "JPEG transmission errors",
        "JPEG2000 transmission errors",
        "non eccentricity pattern noise",
        "local block-wise distortions",
        "mean shift",
        "contrast change",
        "change of color saturation",
        "multiplicative Gaussian noise",
        "comfort noise",
        "lossy compression of noisy images",
        "color quantization with dither",
        "chromatic aberrations",
        "sparse sampling and reconstruction",
    )
