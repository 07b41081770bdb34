"""Charts that plug-ins add to the page: numbers from Python, and the program that draws them, in one file."""

from collections.abc import Container, Mapping
from typing import Any, ClassVar

from hf_clipdyn.errors import ConfigError, shown
from hf_clipdyn.plugins import CHARTS, module_name, plugins, subclasses_in
from hf_clipdyn.report.study import Study

__all__ = ["PageChart", "page_charts"]


class PageChart:
    """A chart of a plug-in. Subclass it in a module of the entry-point group ``hf_clipdyn.charts``, or in a file.

    Attributes:
        script: the program, as JavaScript. It shares one scope with the programs of the page, whose `js/core.js` says
            what they offer, and registers what it draws: ``registerView({name, title, rank, applies, mount})`` for a
            chart of a benchmark, ``registerSection`` for a section, ``registerFold`` for a part of the evidence.
    """

    script: ClassVar[str]

    @classmethod
    def payload(cls, study: Study) -> Mapping[str, Any] | None:
        """What the program finds as ``DATA.parts.NAME``, for JSON; NAME is that of the file. None for nothing.

        Args:
            study: with ``results``, ``trajectories``, ``trials`` and the planned ``charts`` (`Panel`).
        """
        raise NotImplementedError


def page_charts(taken: Container[str] = ()) -> dict[str, type[PageChart]]:
    """The charts of plug-ins by name; `ConfigError` if a name is not free."""
    charts: dict[str, type[PageChart]] = {}
    for chart in subclasses_in(plugins(CHARTS), PageChart):
        name = module_name(chart)
        if name in charts or name in taken:
            raise ConfigError(f"The page has two charts named {shown(name)}: rename the plug-in's file.")
        charts[name] = chart
    return charts
