"""Models between two revisions: what one would answer if its weights were on the straight line between theirs."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.errors import ConfigError, EvaluationError, MetricError
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.observe import observe
from hf_clipdyn.evaluation.plan import Plan, PlannedCell
from hf_clipdyn.evaluation.processes import check_device, join_processes
from hf_clipdyn.metrics.weight_path import interpolate
from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.results.row import Cell

__all__ = ["Between"]


class Between:
    """Shows the stimuli of saved trials to models between two revisions, of one run or of two.

    In memory are the weights of two revisions and the model between them.

    Args:
        configs: of each run.

    Raises:
        ConfigError: there are several processes, or torch cannot compute on the device.
    """

    def __init__(self, configs: Sequence[EvaluationConfig]) -> None:
        if join_processes(configs[0].device).num_processes > 1:
            raise ConfigError("`weights` runs models in one process: start it without a launcher.")
        check_device(configs[0].device)
        self._configs = {one.series.repo_id: one for one in configs}
        self._encoder: Encoder | None = None
        self._planned = lru_cache(len(configs))(self._plan)
        self._weights = lru_cache(2)(self._read)

    def trials(self, first: Cell, second: Cell, alpha: float) -> pd.DataFrame:
        """The trials of the first cell's benchmark for the weights (1 - alpha) first + alpha second.

        Raises:
            EvaluationError: the stimuli here are not those of the cell.
            MetricError: the two models have different parameters.
        """
        planned = self._planned(first.repo_id, first.kind, first.dataset)
        if planned.cell.data_fingerprint != first.data_fingerprint:
            raise EvaluationError(
                f"The images of {first.kind}/{first.dataset} here are not those of the saved trials: give their folder "
                "as --data-dir, or evaluate again with --force."
            )
        ends = [self._weights(one.repo_id, one.revision) for one in (first, second)]
        if other := sorted(ends[0].keys() ^ ends[1].keys()):
            raise MetricError(f"The two models have different parameters, for example {other[0]}.")
        assert self._encoder is not None
        live = self._encoder.model.state_dict()
        with torch.no_grad():
            # One tensor at a time: a whole third state would take memory.
            for name, values in ends[0].items():
                between = interpolate({name: values}, {name: ends[1][name]}, alpha)
                live[name].copy_(torch.from_numpy(between[name]))
        batch_size = self._configs[first.repo_id].batch_size
        return observe(planned, Readout(self._encoder, batch_size=batch_size, name="a model between two"))

    def _plan(self, repo_id: str, kind: str, dataset: str) -> PlannedCell:
        config = self._configs[repo_id]
        alone = replace(
            config,
            benchmarks=(f"{kind}/{dataset}",),
            relations=(),
            weights=False,
            final_texts=False,
            data_dirs={name: path for name, path in config.data_dirs.items() if name == dataset},
            settings={name: given for name, given in config.settings.items() if name == kind},
        )
        plan = Plan(alone)
        revision = plan.revisions[0]
        return next(plan.cells(revision, config.series.fetch(revision, settings_only=True), None))

    def _read(self, repo_id: str, revision: str) -> dict[str, NDArray[Any]]:
        """The floating-point tensors of a revision, which is then the live model."""
        series = self._configs[repo_id].series
        folder = series.fetch(next(one for one in series.revisions() if one.name == revision))
        encoder = self._loaded(folder, self._configs[repo_id])
        return {
            name: tensor.float().cpu().numpy().copy()
            for name, tensor in encoder.model.state_dict().items()
            if tensor.is_floating_point()
        }

    def _loaded(self, folder: Path, config: EvaluationConfig) -> Encoder:
        if self._encoder is None:
            dtype = getattr(torch, config.dtype)
            self._encoder = Encoder.from_folder(folder, device=config.device, dtype=dtype)
        else:
            self._encoder.load(folder)
        return self._encoder
