"""The configuration of `evaluate`: the Python call, the YAML file and the flags."""

import re
from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, InstanceOf, model_validator
from pydantic.fields import FieldInfo

from hf_clipdyn.benchmarks.kind import Benchmark, Common, KindSettings
from hf_clipdyn.benchmarks.registry import kinds, relation_named, select_benchmarks, suite_relations
from hf_clipdyn.errors import ConfigError, naming, shown
from hf_clipdyn.options import OptionError, first_values, name_of, texts_of
from hf_clipdyn.plugins import load_plugin
from hf_clipdyn.revisions.names import OPEN_CLIP
from hf_clipdyn.revisions.series import Series

T = TypeVar("T")

_SHORT_DTYPES = {"fp32": "float32", "bf16": "bfloat16"}  # as accelerate calls them
FullPath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]


class EvaluationConfig(Common):
    """One evaluation; `evaluate_revisions` has the same arguments.

    A setting of a kind is an option, too: ``noise_sigmas`` are the ``sigmas`` of `NoiseSettings`.
    """

    positional = ("repo_id",)
    most_used: ClassVar[tuple[str, ...]] = (
        *("benchmarks", "suite", "relations", "revisions", "output", "data_dir", "device"),
        "batch_size",
    )
    letters: ClassVar = {"output": "o"}
    python_only = ("settings", "token")
    former: ClassVar = {
        "hub_token": "set HF_TOKEN, or log in with `hf auth login`",
        "n_resamples": "leave it out: intervals follow from influences, not from resamples",
        "final_texts": "evaluate a second time with --texts last, into the same output",
    }
    file_help = "YAML file of these options, written with underscores. Flags override it."

    repo_id: tuple[str | InstanceOf[Series], ...]
    """What to evaluate: a repository, owner/name; a folder of a run, a Trainer's checkpoints or a model; or
    open_clip:MODEL@PLACE. You can give several."""

    benchmarks: tuple[str | InstanceOf[Benchmark], ...] | None = None
    """Benchmarks to run instead of the suite: names (noise/cifar10), kinds (noise) or patterns."""

    suite: tuple[str, ...] = Field(("embedded",), min_length=1)
    """Suite of benchmarks: embedded (nothing to download), full, human or paper; dynamics (how learning proceeds:
    embeddings, and all relations); or several."""

    relations: tuple[str, ...] = ()
    """Relate revisions with each other, from the trials next to the output: cue_learning, error_consistency,
    learning_order, representation_change or weights. Given without benchmarks, nothing is measured."""

    revisions: tuple[str, ...] | None = None
    """Revisions to evaluate. Default: all."""

    shard: str | None = None
    """Evaluate only part i of n of the revisions, for example 1/4. All parts may share one output."""

    store: FullPath | None = None
    """Store of version 0.3, which is read instead of the Hub."""

    from_open_clip: str | None = None
    """Read REPO_ID as checkpoints of this open_clip model, for example ViT-B-16-quickgelu. REPO_ID is then a folder of
    epoch_N.pt on this machine, owner/name/FOLDER on the Hub, or a checkpoint file."""

    samples_per_epoch: int | None = Field(None, ge=1)
    """Training images per epoch of the open_clip checkpoints. Default: unknown."""

    processor: str | None = None
    """Processor for the revisions that have none of their own: a folder, or a repository, owner/name."""

    output: FullPath | None = None
    """Parquet file for the table of results. An existing table is continued. Cells and trials are stored next to it."""

    data_dirs: Mapping[str, Path] = Field({}, validation_alias="data_dir")
    """Folder of a data set, NAME=PATH."""

    settings: Mapping[str, InstanceOf[KindSettings]] = {}
    """Settings by kind, for benchmarks given by name."""

    plugins: tuple[Path, ...] = Field((), validation_alias="plugin")
    """Python file that adds kinds of benchmarks or data sets."""

    label_map: FullPath | None = None
    """Class names of a classifier's head, if they differ from the data set's: a JSON object of names by label or index,
    or a list in the order of the head."""

    label_names: FullPath | None = None
    """Names of the classes of labelled pictures of your own, for prompts: a JSON object of names by label or index, or
    a list in the order of the labels."""

    templates: FullPath | None = None
    """Prompts for labelled pictures of your own: a text file with one in each line, with {} for the class."""

    dtype: Annotated[
        Literal["float32", "bfloat16", "fp32", "bf16"],
        AfterValidator(lambda name: _SHORT_DTYPES.get(name, name)),
    ] = "float32"
    """Precision of the model: float32 (fp32, the reference) or bfloat16 (bf16)."""

    device: str | None = None
    """Device: cpu, cuda, …. `auto` splits a large model over all devices. Default: the GPU if there is one."""

    batch_size: int = Field(128, ge=1)
    """Images per forward pass."""

    force: bool = False
    """Measure again what the table already contains."""

    rescore: bool = False
    """Only recompute the numbers from the saved trials, for example at another confidence level."""

    skip_missing: bool = False
    """Skip benchmarks whose data are missing."""

    texts: Literal["own", "last"] = "own"
    """Text embeddings of the classes: of each revision itself (own), or of the run's last revision."""

    watch: bool = False
    """Follow a run that is still training."""

    watch_patience: float = Field(3600.0, ge=0)
    """Seconds without a new revision after which a watched run counts as finished."""

    push_to_hub: bool = False
    """Publish the results as a data set on the Hub."""

    hub_model_id: str | None = None
    """Repository of that data set, owner/name."""

    private: bool = Field(False, validation_alias="hub_private_repo")
    """Make that data set private."""

    token: str | None = None
    """Token for private repositories. Default: the stored one."""

    def __init__(self, **values: Any) -> None:
        for path in texts_of(values.get("plugin", values.get("plugins", ())), "plugin"):
            load_plugin(path)  # it may add options
        super().__init__(**_with_settings(values))

    @classmethod
    def read(cls, words: Sequence[str], prog: str = "clipdyn") -> Self:
        """As of `Options`; a plug-in that is named may add options."""
        for path in first_values(cls, words, "plugin"):
            load_plugin(path)
        return super().read(words, prog)

    @classmethod
    def option_fields(cls) -> dict[str, FieldInfo]:
        """The options of an evaluation, then those of each kind, in a group of the help."""
        fields = super().option_fields()
        for kind, settings in settings_classes().items():
            title: str | None = f"Settings of {kind}"
            for name, field in settings.option_fields().items():
                fields[f"{kind}_{name}"] = copy(field)
                fields[f"{kind}_{name}"].title, title = title, None
        return fields

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        self._name_repositories()
        if self.output is not None and self.output.suffix != ".parquet":
            raise ConfigError(f"output is {self.output}: name a Parquet file, for example results.parquet.")
        if self.rescore and (self.force or self.watch or self.output is None):
            raise ConfigError("`rescore` reads saved trials: give `output`, and neither `force` nor `watch`.")
        named = [name for name in self.repo_id if isinstance(name, str)]
        if self.samples_per_epoch and not all(name.startswith(OPEN_CLIP) for name in named):
            raise ConfigError("`samples_per_epoch` is for open_clip checkpoints: give no others with it.")
        in_shard((), self.shard)  # refuses what is no shard
        if self.relations and self.output is None:
            raise ConfigError("`relations` read the trials next to `output`: give an `output`.")
        if self.shard is not None and (self.rescore or self.push_to_hub or self.relations):
            raise ConfigError("`rescore`, `relations`, `push_to_hub` need all revisions: leave out `shard`.")
        if (self.private or self.hub_model_id is not None) and not self.push_to_hub:
            raise ConfigError("`private` and `hub_model_id` require `push_to_hub`.")
        if self.push_to_hub and None in (self.hub_model_id, self.output):
            raise ConfigError("`push_to_hub` requires `hub_model_id`, owner/name, and an `output`.")
        if self.watch and (self.output is None or self.revisions is not None or self.texts == "last"):
            raise ConfigError("`watch` needs `output`, and measures all: leave out `revisions` and `texts`.")
        return self

    def _name_repositories(self) -> None:
        if not all(isinstance(name, str) for name in self.repo_id):  # a model object is nothing to open
            return
        if not self.repo_id:
            raise ConfigError("repo_id is empty: give owner/name or a folder, or several of these.")
        if self.from_open_clip is not None:
            names = (f"{OPEN_CLIP}{self.from_open_clip}@{name}" for name in self.repo_id)
            object.__setattr__(self, "repo_id", tuple(names))
            object.__setattr__(self, "from_open_clip", None)  # the names say it now
        called = [single.series.repo_id for single in self.each]
        for name, repo_id in zip(self.repo_id, called, strict=True):
            if called.count(repo_id) > 1:
                raise ConfigError(
                    f"{name} and another would both be {repo_id} in the table: give each once, or rename a folder."
                )
        if self.watch and len(called) > 1:
            raise ConfigError(f"`watch` follows only one run, but {len(called)} are given.")

    @property
    def each(self) -> "list[EvaluationConfig]":
        """One configuration per repository."""
        return [self] if len(self.repo_id) == 1 else [self.but(repo_id=(name,)) for name in self.repo_id]

    def check_names(self) -> None:
        """Refuse a benchmark, a relation or a repository that does not exist; no model is loaded.

        A run that is watched may not exist yet, and scoring and relations need no repository.

        Raises:
            UnknownNameError, ConfigError: as for `select_benchmarks` and `relation_named`.
            EvaluationError: the output exists and is not a table of results.
            RevisionNotFoundError: there is no such repository on the Hub.
            RevisionError: the Hub refuses, or cannot be reached.
        """
        from hf_clipdyn.results.cells import CellStore

        for name in self.related:
            relation_named(name)
        if self.selected and not (self.rescore or self.watch):
            on_hub = [single.series for single in self.each if not single.series.on_disk]
            if on_hub and self.output is not None and Path(self.output).is_file():
                CellStore(self.output)  # another file is refused without the Hub
            for series in on_hub:
                series.check()

    @cached_property
    def series(self) -> Series:
        """The revisions of the repository, if it is one."""
        (name,) = self.repo_id
        if isinstance(name, Series):
            return name
        from hf_clipdyn.revisions.open import open_series

        return open_series(
            name, self.store, self.token, samples_per_epoch=self.samples_per_epoch, processor=self.processor
        )

    @cached_property
    def prompts(self) -> list[str]:
        """Those of `templates`; none without them."""
        if self.templates is None:
            return []
        with naming(self.templates, ConfigError):
            prompts = list(filter(str.strip, self.templates.read_text(encoding="utf-8").splitlines()))
            if not prompts or not all(prompt.count("{}") == 1 for prompt in prompts):
                raise ConfigError("each line needs a prompt with one {} for the class.")
        return prompts

    @cached_property
    def class_names(self) -> Mapping[str, str] | None:
        """What `label_map` says; None without one."""
        from hf_clipdyn.benchmarks.heads import read_label_map

        return None if self.label_map is None else read_label_map(self.label_map)

    @cached_property
    def selected(self) -> list[Benchmark]:
        """The selected benchmarks; see `select_benchmarks`. None if only relations are wanted."""
        if self.relations and self.benchmarks is None:
            return []
        return select_benchmarks(self.suite, self.benchmarks, self.settings, self.data_dirs)

    @cached_property
    def related(self) -> list[str]:
        """Names of the relations: those that were given, else those of the suite."""
        names = list(self.relations)
        if not self.relations and self.benchmarks is None and self.output is not None and self.shard is None:
            names = suite_relations(self.suite)
        return list(dict.fromkeys(names))


def in_shard(revisions: Sequence[T], shard: str | None) -> Sequence[T]:
    """Every n-th of the revisions, from the i-th on, for the shard i/n; all of them without a shard.

    A revision that is published later moves no earlier one to another shard.

    Raises:
        ConfigError: the shard is not a part of the whole.
    """
    place = re.fullmatch("([0-9]{1,6})/([0-9]{1,6})", "1/1" if shard is None else shard)
    if place is None or not 1 <= int(place[1]) <= int(place[2]):
        raise ConfigError(f"shard is {shown(shard)}: give i/n with i from 1 to n, for example 1/4.")
    return revisions[int(place[1]) - 1 :: int(place[2])]


def settings_classes() -> dict[str, type[KindSettings]]:
    """The settings of each kind that has some."""
    general = {name_of(*field) for field in EvaluationConfig.model_fields.items()}
    found = {name: kind.settings for name, kind in kinds().items() if kind.settings.model_fields}
    for name, settings in found.items():
        for key in settings.option_fields():
            if f"{name}_{key}" in general:
                raise ConfigError(f"Two options are called {name}_{key}: rename the setting of {name}.")
    return found


def _with_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with ``noise_sigmas=…`` among the settings of noise.

    Raises:
        ConfigError: a setting is wrong.
    """
    left = dict(values)
    settings = dict(left.get("settings") or {})
    for kind, one in settings_classes().items():
        given = {name: left.pop(f"{kind}_{name}") for name in one.option_fields() if f"{kind}_{name}" in left}
        if not given:
            continue
        try:
            settings[kind] = settings[kind].but(**given) if kind in settings else one(**given)
        except OptionError as error:
            raise OptionError(f"{kind}_{error}", f"{kind}_{error.option}") from None
    return left | ({"settings": settings} if settings else {})
