"""Charts beside those of the benchmarks: a file a chart, for the figures and for the page, found by its name."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from hf_clipdyn.errors import ConfigError, shown
from hf_clipdyn.plugins import CHARTS, module_name, modules_of, plugins, subclasses_in
from hf_clipdyn.report.panel import Panel
from hf_clipdyn.report.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Chart", "charts"]


class Chart:
    """A chart with the name of its file: subclass it in a file for ``--plugin``, or in a module of the entry-point
    group ``hf_clipdyn.charts``.

    Its panels are drawn on the page, those of a benchmark (`Panel.benchmark`) in its section; those that are ``main``
    are the figure ``NAME``.

    Attributes:
        title: heading of the panels on the page.
        across: panels beside each other in a figure as wide as a page; 0 for as many as fit, and no more than six.
    """

    title: ClassVar[str] = ""
    across: ClassVar[int] = 0

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:  # noqa: ARG003
        """What it shows.

        Args:
            study: with ``planner``, which has the panels of all benchmarks, ``cells`` and ``trials``.
        """
        return ()

    @classmethod
    def draw(cls, study: Study, width: float) -> "Figure | None":
        """The figure ``NAME`` of this many inches, laid out; None for none. Called inside `figure_style`."""
        from hf_clipdyn.report.figures import draw_planned

        return draw_planned(study, cls.panels(study), width, cls.across)


def charts() -> dict[str, type[Chart]]:
    """The charts of the package and of plug-ins by name; `ConfigError` if a name is not free."""
    known: dict[str, type[Chart]] = {}
    for chart in subclasses_in([*modules_of(__name__), *plugins(CHARTS)], Chart):
        name = module_name(chart)
        if name in (*known, *_TAKEN):
            raise ConfigError(f"The report has two charts named {shown(name)}: rename the plug-in's file.")
        known[name] = chart
    return known


_TAKEN = ("summary", "stimuli", "tryit")
"""Names of what the report itself draws."""
