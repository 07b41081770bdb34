"""The BibTeX of everything that metrics and data sets cite, once, in `references.bib`."""

import re
from functools import cache
from importlib.resources import files

from hf_clipdyn.errors import UnknownNameError


def reference(key: str) -> str:
    """One entry, as BibTeX.

    Raises:
        UnknownNameError: there is no entry of that key.

    Examples:
        >>> from hf_clipdyn.references import reference
        >>> print(reference("kornblith2019similarity"))
        @inproceedings{kornblith2019similarity,
          title = {Similarity of Neural Network Representations Revisited},
          author = {Kornblith, Simon and Norouzi, Mohammad and Lee, Honglak and Hinton, Geoffrey},
          booktitle = {International Conference on Machine Learning},
          year = {2019}
        }
    """
    if key not in _entries():
        raise UnknownNameError("reference", key, _entries())
    return _entries()[key]


@cache
def _entries() -> dict[str, str]:
    text = files("hf_clipdyn").joinpath("references.bib").read_text(encoding="utf-8")
    return {
        entry[1]: entry[0] for entry in re.finditer(r"^@\w+\{(\w+),.*?^\}", text, re.DOTALL | re.MULTILINE)
    }
