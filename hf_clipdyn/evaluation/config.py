"""The configuration of `evaluate`: one dataclass for flags, YAML and the Python call."""

import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import MISSING, dataclass, field, replace
from functools import cached_property, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from hf_clipdyn.benchmarks.settings import Benchmark, Common, KindSettings
from hf_clipdyn.errors import ConfigError, remedies_in_python, shown
from hf_clipdyn.fields import check_options, option
from hf_clipdyn.plugins import load_plugin
from hf_clipdyn.revisions.names import OPEN_CLIP, Name
from hf_clipdyn.revisions.series import Series

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_SHORT_DTYPES = {"fp32": "float32", "bf16": "bfloat16"}  # as accelerate calls them


@dataclass(frozen=True)
class EvaluationConfig(Common):
    """One evaluation; `evaluate_revisions` has the same arguments."""

    repo_id: Name | Series | Sequence[Name] = option(
        MISSING,
        "What to evaluate: a repository, owner/name; a folder of a run, a Trainer's checkpoints or a "
        "model; or open_clip:MODEL@PLACE. You can give several.",
    )
    benchmarks: str | Benchmark | Sequence[str | Benchmark] | None = option(
        None,
        "Benchmarks to run instead of the suite: names (noise/cifar10), kinds (noise) or patterns.",
        top=True,
    )
    suite: str | Sequence[str] = option(
        "embedded",
        "Suite of benchmarks: embedded (nothing to download), full, human or paper; dynamics (how learning "
        "proceeds: embeddings, and all relations); or several.",
        top=True,
    )
    relations: str | Sequence[str] = option(
        (),
        "Relate revisions with each other, from the trials beside the output: cue_learning, error_consistency, "
        "learning_order, representation or weights. Given without benchmarks, nothing is measured.",
        top=True,
    )
    revisions: str | Sequence[str] | None = option(None, "Revisions to evaluate. Default: all.", top=True)
    shard: str | None = option(
        None, "Evaluate only part i of n of the revisions, for example 1/4. All parts may share one output."
    )
    store: str | Path | None = option(None, "Store of version 0.3, which is read instead of the Hub.")
    from_open_clip: str | None = option(
        None,
        "Read REPO_ID as checkpoints of this open_clip model, for example ViT-B-16-quickgelu. REPO_ID is "
        "then a folder of epoch_N.pt on this machine, owner/name/FOLDER on the Hub, or a checkpoint file.",
    )
    samples_per_epoch: int | None = option(
        None, "Training images per epoch of the open_clip checkpoints. Default: unknown.", within="[1, inf]"
    )
    processor: Name | None = option(
        None,
        "Processor for the revisions that have none of their own: a folder, or a repository, owner/name.",
    )
    output: str | Path | None = option(
        None,
        "Parquet file for the table of results. An existing table is continued. Cells and trials are "
        "stored beside it.",  # without one: in memory
        short="o",
        flag_default=Path("results.parquet"),
        top=True,
    )
    data_dirs: Mapping[str, str | Path] = field(
        default_factory=dict,
        metadata={"help": "Folder of a data set, NAME=PATH.", "flag": "data_dir", "top": True},
    )
    settings: Mapping[str, KindSettings] = field(
        default_factory=dict,
        metadata={"help": "Settings by kind, for benchmarks given by name.", "flag": None},
    )
    plugins: str | Path | Sequence[str | Path] = option(
        (), "Python file that adds kinds of benchmarks or data sets.", flag="plugin"
    )
    label_map: Path | None = option(
        None,
        "Names of the classes of a classifier's head, if they are not those of a data set: a JSON object of names by "
        "label or index, or a list in the order of the head.",
    )
    dtype: str = option(
        "float32",
        "Precision of the model: float32 (fp32, the reference) or bfloat16 (bf16).",
        choices=("float32", "bfloat16", *_SHORT_DTYPES),
    )
    device: str | None = option(
        None,
        "Device: cpu, cuda, …. `auto` splits a large model over all devices. Default: the GPU if "
        "there is one.",
        top=True,
    )
    batch_size: int = option(128, "Images per forward pass.", within="[1, 1000000]", top=True)
    force: bool = option(False, "Measure again what the table already contains.")
    rescore: bool = option(
        False, "Only recompute the numbers from the saved trials, for example with more resamples."
    )
    skip_missing: bool = option(False, "Skip benchmarks whose data are missing.")
    final_texts: bool = option(True, "Also classify with the text embeddings of the run's last revision.")
    watch: bool = option(False, "Follow a run that is still training.")
    watch_patience: float = option(
        3600.0,
        "Seconds without a new revision after which a watched run counts as finished.",
        within="[0, inf]",
    )
    push_to_hub: bool = option(False, "Publish the results as a data set on the Hub.")
    hub_model_id: str | None = option(None, "Repository of that data set, owner/name.")
    private: bool = option(False, "Make that data set private.", flag="hub_private_repo")
    token: str | None = option(
        None,
        "Token for private repositories. Default: the stored one.",
        flag="hub_token",
        secret=True,
    )

    def __post_init__(self) -> None:
        check_options(self)
        for path in (self.plugins,) if isinstance(self.plugins, str | Path) else self.plugins:
            load_plugin(path)
        for name in ("store", "output", "label_map"):
            path = getattr(self, name)
            if path is not None:
                object.__setattr__(self, name, Path(path).expanduser().absolute())
        object.__setattr__(self, "dtype", _SHORT_DTYPES.get(self.dtype, self.dtype))
        object.__setattr__(self, "data_dirs", {name: Path(path) for name, path in self.data_dirs.items()})
        if isinstance(self.revisions, str):
            object.__setattr__(self, "revisions", (self.revisions,))
        if isinstance(self.benchmarks, str | Benchmark):
            object.__setattr__(self, "benchmarks", (self.benchmarks,))
        if isinstance(self.relations, str):
            object.__setattr__(self, "relations", (self.relations,))
        self._name_repositories()
        self._check_together()

    def _check_together(self) -> None:
        if self.output is not None and Path(self.output).suffix != ".parquet":
            raise ConfigError(f"output is {self.output}: name a Parquet file, for example results.parquet.")
        if self.rescore and (self.force or self.watch or self.output is None):
            raise ConfigError(
                "`rescore` measures nothing: it reads the trials beside `output`. Give an `output`, and "
                "leave out `force` and `watch`."
            )
        if self.samples_per_epoch and not self._reads_open_clip:
            raise ConfigError(
                "`samples_per_epoch` only applies to open_clip checkpoints: do not give other models with it."
            )
        read_shard(self.shard)
        if self.relations and self.output is None:
            raise ConfigError("`relations` read the trials beside `output`: give an `output`.")
        if self.shard is not None and (self.rescore or self.push_to_hub or self.relations):
            raise ConfigError(
                "`rescore`, `relations` and `push_to_hub` apply to the whole table, but `shard` measures only a part "
                "of the revisions: use them without `shard`, once all shards are done."
            )
        if (self.private or self.hub_model_id is not None) and not self.push_to_hub:
            raise ConfigError("`private` and `hub_model_id` require `push_to_hub`.")
        if self.push_to_hub and self.hub_model_id is None:
            raise ConfigError("push_to_hub needs hub_model_id: name the data set as owner/name.")
        if self.push_to_hub and self.output is None:
            raise ConfigError("`push_to_hub` requires an `output`: results are written to disk first.")
        if self.watch and (self.output is None or self.revisions is not None):
            raise ConfigError(
                "`watch` requires an `output` and measures all revisions: leave out `revisions`."
            )

    def _name_repositories(self) -> None:
        if isinstance(self.repo_id, Series):  # a model object is nothing to open
            return
        given = self.repo_id if isinstance(self.repo_id, tuple) else (self.repo_id,)
        if not given or not all(isinstance(name, str | os.PathLike) for name in given):
            raise ConfigError(
                "repo_id is empty or contains something other than text: give owner/name or a folder, or "
                "several of these."
            )
        names = tuple(map(os.fspath, given))
        if self.from_open_clip is not None:
            names = tuple(f"{OPEN_CLIP}{self.from_open_clip}@{name}" for name in names)
            object.__setattr__(self, "from_open_clip", None)  # the names say it now
        object.__setattr__(self, "repo_id", names[0] if len(names) == 1 else names)
        called = [one.series.repo_id for one in self.each]
        for name, repo_id in zip(names, called, strict=True):
            if called.count(repo_id) > 1:
                raise ConfigError(
                    f"{name} and another model would both be called {repo_id} in the table: give each "
                    "model once, or rename a folder."
                )
        if self.watch and len(names) > 1:
            raise ConfigError(f"`watch` follows only one run, but {len(names)} are given.")

    @property
    def _reads_open_clip(self) -> bool:
        names = self.repo_id if isinstance(self.repo_id, tuple) else (self.repo_id,)
        return all(isinstance(name, str) and name.startswith(OPEN_CLIP) for name in names)

    @property
    def each(self) -> list["EvaluationConfig"]:
        """One configuration per repository."""
        if isinstance(self.repo_id, tuple):
            return [replace(self, repo_id=name) for name in self.repo_id]
        return [self]

    def check_names(self) -> None:
        """Refuse a benchmark, a relation or a repository that does not exist; no model is loaded.

        A run that is watched may not exist yet, and scoring and relations need no repository.

        Raises:
            UnknownNameError, ConfigError: as for `select_benchmarks` and `relation_named`.
            EvaluationError: the output exists and is not a table of results.
            RevisionNotFoundError: there is no such repository on the Hub.
            RevisionError: the Hub refuses, or cannot be reached.
        """
        from hf_clipdyn.benchmarks.registry import relation_named
        from hf_clipdyn.results.cells import CellStore

        for name in self.related:
            relation_named(name)
        if self.selected and not (self.rescore or self.watch):
            on_hub = [one.series for one in self.each if not one.series.on_disk]
            if on_hub and self.output is not None and Path(self.output).is_file():
                CellStore(self.output)  # another file is refused without the Hub
            for series in on_hub:
                series.check()

    @cached_property
    def series(self) -> Series:
        """The revisions of the repository, if it is one."""
        if isinstance(self.repo_id, Series):
            return self.repo_id
        assert isinstance(self.repo_id, str)
        from hf_clipdyn.revisions.open import WithProcessor, open_series

        series = open_series(self.repo_id, self.store, self.token, samples_per_epoch=self.samples_per_epoch)
        return series if self.processor is None else WithProcessor(series, self.processor, self.token)

    @cached_property
    def class_names(self) -> Mapping[str, str] | None:
        """What `label_map` says; None without one."""
        from hf_clipdyn.benchmarks.heads import read_label_map

        return None if self.label_map is None else read_label_map(self.label_map)

    @cached_property
    def selected(self) -> list[Benchmark]:
        """The selected benchmarks; see `select_benchmarks`. None if only relations are wanted."""
        from hf_clipdyn.benchmarks.registry import select_benchmarks

        wanted = self.benchmarks
        assert not isinstance(wanted, str | Benchmark)
        if self.relations and wanted is None:
            return []
        return select_benchmarks(self.suite, wanted, self.settings, self.data_dirs)

    @cached_property
    def related(self) -> list[str]:
        """Names of the relations: those that were given, else those of the suite."""
        from hf_clipdyn.benchmarks.registry import suite_relations

        names = list(self.relations)
        if not self.relations and self.benchmarks is None and self.output is not None and self.shard is None:
            names = suite_relations(self.suite)
        return list(dict.fromkeys(names))


def read_shard(shard: str | None) -> tuple[int, int]:
    """The part, from 1, and the number of parts of the shard i/n; (1, 1) without a shard.

    Raises:
        ConfigError: the shard is not a part of the whole.
    """
    place = re.fullmatch("([0-9]{1,6})/([0-9]{1,6})", "1/1" if shard is None else shard)
    if place is None or not 1 <= int(place[1]) <= int(place[2]):
        raise ConfigError(f"shard is {shown(shard)}: give i/n with i from 1 to n, for example 1/4.")
    return int(place[1]), int(place[2])


def in_shard(revisions: Sequence[T], shard: str | None) -> Sequence[T]:
    """Every n-th of the revisions, from the i-th on, for the shard i/n; all of them without a shard.

    A revision that is published later moves no earlier one to another shard.
    """
    part, parts = read_shard(shard)
    return revisions[part - 1 :: parts]


def in_python() -> AbstractContextManager[None]:
    """Within it, the remedies of errors are arguments, unless the command line calls."""
    from hf_clipdyn.evaluation.options import command_line

    return remedies_in_python(lambda text: command_line().in_python(text))


def called_with(
    config: Callable[P, EvaluationConfig],
) -> Callable[[Callable[[EvaluationConfig], R]], Callable[P, R]]:
    """Let a function of a configuration be called with the configuration's own arguments."""

    def decorate(function: Callable[[EvaluationConfig], R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with in_python():
                return function(config(*args, **kwargs))

        call.__signature__ = inspect.signature(config).replace(  # type: ignore[attr-defined]
            return_annotation=inspect.signature(function).return_annotation
        )
        return call

    return decorate
