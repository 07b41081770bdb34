"""`option` for plug-ins that were written for version 0.2; it is in `hf_clipdyn.fields` now. To be removed in 0.4.0."""

from hf_clipdyn.fields import check_options, option

__all__ = ["check_options", "option"]
