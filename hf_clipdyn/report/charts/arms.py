"""The control arms of a study of many runs: each over the main arm of its scale."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.courses import N_HUES, Group
from hf_clipdyn.report.panel import Line, Panel
from hf_clipdyn.report.study import Study

_MOST = 30  # panels


class Arms(Chart):
    """The arms over the main arm, which is grey."""

    title = "Control arms"
    across = 5

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """A panel for each metric of the overview and each arm; none where the other figures show the arms."""
        planner = study.planner
        groups = {group.title: group for group in planner.groups}
        n_arms = sum(bool(group.arm) for group in planner.groups)
        if len(groups) <= N_HUES or not planner.over_training or not n_arms:
            return []
        shown = planner.glance[: max(1, _MOST // n_arms)]
        return [one for panel in shown for one in _of_arms(panel, groups)]


def _of_arms(panel: Panel, groups: Mapping[str, Group]) -> Iterator[Panel]:
    lines = {groups[line.group]: line for line in panel.lines if line.group in groups}
    main = {group.scale: _behind(line) for group, line in lines.items() if not group.arm}
    for group, line in lines.items():
        if group.arm:
            behind = [main[group.scale]] if group.scale in main else []
            yield replace(panel, title=f"{panel.title}\n{group.title}", lines=(*behind, line), choices={})


def _behind(line: Line) -> Line:
    n = len(line.seeds)
    return replace(line, label=f"main arm, mean of {n} seeds" if n else "main arm", place=-1, seeds=())
