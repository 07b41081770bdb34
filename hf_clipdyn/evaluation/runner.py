"""Revisions times benchmarks: one live model, each image once per revision, each pair written when done."""

import importlib.metadata
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from tqdm.auto import tqdm

from hf_clipdyn.benchmarks.base import Benchmark, Settings
from hf_clipdyn.benchmarks.readout import Readout, share
from hf_clipdyn.benchmarks.registry import benchmark_class, select_benchmarks
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.errors import ConfigError, EvaluationError, UnknownNameError
from hf_clipdyn.evaluation.live_model import FinalTexts, LiveModel
from hf_clipdyn.evaluation.precision import PrecisionCheck
from hf_clipdyn.evaluation.selection import check_settings, choose_revisions, open_sources
from hf_clipdyn.evaluation.store import FINAL_TEXT, PAIR, SCHEMA, Pair, ResultsStore
from hf_clipdyn.models.encoder import Encoder, read_input
from hf_clipdyn.models.snapshots import settings_digest
from hf_clipdyn.preprocess import square_processor
from hf_clipdyn.revisions import Revision, list_revisions

__all__ = ["DTYPES", "EvaluationConfig", "evaluate", "from_main_process"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_SHORT_DTYPES = {"fp32": "float32", "bf16": "bfloat16"}  # as accelerate calls them
_PACKAGES = ("hf-clipdyn", "torch", "transformers", "datasets", "numpy", "scipy")


@dataclass(frozen=True)
class EvaluationConfig:
    """What is evaluated, and how.

    Attributes:
        repo_id: ``owner/name`` of the run.
        suite, benchmarks: see `select_benchmarks`.
        revisions: names; None for all.
        store: folder of a local store; None reads the Hub.
        output: Parquet table that is continued or begun; None keeps the results in memory.
        data_dirs: data set to its folder.
        settings: see `Settings`.
        dtype: ``float32`` (``fp32``), the reference, or ``bfloat16`` (``bf16``).
        device: the accelerator by default where there is one; ``auto`` spreads a large model over all there are.
        batch_size: images per forward pass.
        force: measure again what is done.
        rescore: compute the numbers of what is done anew from the kept trials, without a forward pass.
        skip_missing: leave out benchmarks whose data are absent, instead of stopping.
        keep_trials: keep the answer to every stimulus beside the table.
        token: for private repositories and data sets.
        final_texts: also ask each revision for classes with the text embeddings of the run's last one.
    """

    repo_id: str
    suite: str = "embedded"
    benchmarks: tuple[str, ...] | None = None
    revisions: tuple[str, ...] | None = None
    store: Path | None = None
    output: Path | None = None
    data_dirs: Mapping[str, Path] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    dtype: str = "float32"
    device: str | None = None
    batch_size: int = 128
    force: bool = False
    rescore: bool = False
    skip_missing: bool = False
    keep_trials: bool = True
    token: str | None = None
    final_texts: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", _SHORT_DTYPES.get(self.dtype, self.dtype))
        if self.dtype not in DTYPES:
            raise UnknownNameError("dtype", self.dtype, DTYPES)
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}: it must be 1 or more.")
        if self.output is not None and self.output.suffix != ".parquet":
            raise ConfigError(f"output is {self.output}: name a Parquet file, as results.parquet.")
        if self.rescore and (self.force or self.output is None):
            raise ConfigError(
                "rescore reads the trials beside an output, and force measures anew: choose one."
            )


def evaluate(config: EvaluationConfig, say: Callable[[str], Any] = lambda _: None) -> datasets.Dataset:
    """Measure every chosen benchmark on every chosen revision.

    Args:
        config: what and how.
        say: told, in a sentence each, what is left out and how far the work is.

    Returns:
        The rows of `SCHEMA` of these revisions and benchmarks, also of those that were done before.

    Raises:
        UnknownNameError: an unknown suite, benchmark, data set or revision.
        ConfigError: torch cannot compute on the device.
        RevisionNotFoundError: there is no such repository.
        EvaluationError: data are missing (all are named), or the output cannot be written.
        ModelError: a revision's files are no image encoder.
    """
    state = _join_processes(config.device)
    _check_device(config.device)
    if not state.is_main_process:
        say = _silent
    names = select_benchmarks(config.suite, config.benchmarks, config.data_dirs)
    check_settings(names, config.settings)
    listed = list_revisions(config.repo_id, store=config.store, token=config.token)
    revisions, last = choose_revisions(config.repo_id, listed, config.revisions, say)
    final = last if config.final_texts and len(listed) > 1 else None
    with state.main_process_first():
        sources = open_sources(
            names, config.data_dirs, config.token, skip_missing=config.skip_missing, say=say
        )
    # Only the main process writes; the others hold an empty table and are told what is done.
    output = config.output if state.is_main_process else None
    with ResultsStore(output) as store:
        _check_precision(config, names, store)
        done = store.pairs() if not config.force else set()
        pairs = _measure(config, revisions, final, sources, store, from_main_process(done), say)
        table = from_main_process(store.select(pairs))
    return datasets.Dataset(table.combine_chunks())


def _join_processes(device: str | None) -> PartialState:
    """The processes of this launch; without a word on the device, accelerate takes CPUs for one process."""
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    on_cpu = device == "cpu" or (device in (None, "auto") and not torch.cuda.is_available())
    # accelerate keeps the choice until the process ends: made for one process, it would bind later calls too.
    state = PartialState(cpu=on_cpu and launched > 1)
    if device == "auto" and launched > 1:
        raise ConfigError("--device auto spreads one model over all devices: start it in one process.")
    if state.num_processes != launched:
        raise EvaluationError(
            f"{launched} processes were launched, but each of them runs alone ({state.num_processes}): "
            "start with torchrun, or with `accelerate launch --multi_gpu` and ACCELERATE_USE_CPU=true on CPUs."
        )
    return state


def _check_device(device: str | None) -> None:
    """Refuse a device that computes nothing here, before data are decoded for it.

    Raises:
        ConfigError: torch does not know it, or was built without it.
    """
    if device in (None, "auto"):
        return
    try:
        torch.ones(1, device=device).item()  # a tensor on `meta` can be made, and holds nothing
    except (RuntimeError, AssertionError, ImportError) as error:  # torch built without CUDA asserts
        raise ConfigError(
            f"device is {device!r}, on which torch cannot compute here ({str(error).partition(chr(10))[0]}): "
            "take another one, as cpu, or leave it out."
        ) from error


def _check_precision(config: EvaluationConfig, names: Sequence[str], store: ResultsStore) -> None:
    """Refuse a second precision in one table: no column but ``dtype`` would tell its rows apart.

    Raises:
        ConfigError: the table holds such benchmarks of this run in another one.
    """
    held = [dict(zip(PAIR, pair, strict=True)) for pair in store.pairs()]
    other = {
        pair["dtype"] for pair in held if pair["repo_id"] == config.repo_id and pair["benchmark"] in names
    } - {config.dtype}
    if other:
        raise ConfigError(
            f"{config.output} holds {config.repo_id} in {other.pop()}: measure it in {config.dtype} into another "
            "--output; `clipdyn report` draws several tables together."
        )


def _silent(_: str) -> None:
    """What processes but the main one say."""


def from_main_process(value: Any) -> Any:
    """The main process's value, in every process."""
    if PartialState().num_processes == 1:
        return value
    box = [value]
    broadcast_object_list(box)
    return box[0]


def _measure(
    config: EvaluationConfig,
    revisions: Sequence[Revision],
    last: Revision | None,
    sources: Mapping[str, Source],
    store: ResultsStore,
    done: set[Pair],
    say: Callable[[str], Any],
) -> list[Pair]:
    """Run what is not done yet; returns all pairs that the call means."""
    state = PartialState()
    live = LiveModel(config.repo_id, config.store, config.token, config.device, DTYPES[config.dtype])
    final = None if last is None else FinalTexts(last, live)
    prepared: dict[str, _Prepared] = {}
    pairs: list[Pair] = []
    twice = sum(benchmark_class(name).text_drift for name in sources) if final is not None else 0
    with tqdm(
        total=len(revisions) * (len(sources) + twice),
        desc="evaluating",
        unit="pair",
        disable=not (config.settings.show_progress and state.is_main_process),
    ) as bar:
        for revision in revisions:
            folder = live.fetch(revision)
            settings = settings_digest(folder)
            if settings not in prepared:
                # Revisions of one run share a processor; where one differs, it sees other pixels.
                with state.main_process_first():
                    prepared[settings] = _prepare(folder, sources, config, say)
            readout: Readout | None = None
            for asking in _askings(config, revision, folder, prepared[settings], final, say):
                bar.set_postfix_str(f"{revision.name} {asking.facts['benchmark']}")
                if asking.pair not in done:
                    if readout is None:
                        readout = _readout(live.load(folder), folder, revision, config, say)
                    _run_pair(asking, readout, config, store)
                elif config.rescore and state.is_main_process:
                    _rescore_pair(asking, config, store, say)
                pairs.append(asking.pair)
                bar.update()
    return pairs


@dataclass(frozen=True)
class _Prepared:
    """The benchmarks of revisions that share a processor, and whether these read texts."""

    benchmarks: Mapping[str, Benchmark]
    reads_text: bool


@dataclass(frozen=True)
class _Asking:
    """One benchmark asked of one revision, with its own texts or with those of the run's last one."""

    facts: Mapping[str, Any]
    benchmark: Benchmark
    final: FinalTexts | None = None

    @property
    def pair(self) -> Pair:
        return tuple(self.facts[column] for column in PAIR)


def _askings(
    config: EvaluationConfig,
    revision: Revision,
    folder: Path,
    prepared: _Prepared,
    final: FinalTexts | None,
    say: Callable[[str], Any],
) -> list[_Asking]:
    askings = []
    drifting = [name for name, one in prepared.benchmarks.items() if one.text_drift and prepared.reads_text]
    if final is not None and drifting and not final.fit(folder):
        say(
            f"{revision.name} has another architecture than {final.revision.name}, the last revision: "
            f"{', '.join(drifting)} {'is' if len(drifting) == 1 else 'are'} not asked with the texts of that one."
        )
        final = None
    for name, benchmark in prepared.benchmarks.items():
        facts = _facts(config, revision, name, benchmark)
        askings.append(_Asking(facts, benchmark))
        if final is not None and name in drifting:
            fingerprint = final.fingerprint(benchmark.fingerprint)
            askings.append(_Asking(facts | {"data_fingerprint": fingerprint}, benchmark, final))
    return askings


def _prepare(
    folder: Path, sources: Mapping[str, Source], config: EvaluationConfig, say: Callable[[str], Any]
) -> _Prepared:
    model_config, image_processor = read_input(folder)
    mute = not hasattr(model_config, "text_config")
    asking = [name for name in sources if benchmark_class(name).needs_text] if mute else []
    if asking:
        told = f"{', '.join(asking)} ask with texts, but {config.repo_id} has no text tower"
        if not config.skip_missing or len(asking) == len(sources):
            raise EvaluationError(
                f"{told}: name others with --benchmarks, or leave them out with --skip-missing."
            )
        say(f"{told}: they are left out.")
    benchmarks: dict[str, Benchmark] = {}
    for name, source in sorted(sources.items(), key=lambda one: not benchmark_class(one[0]).reads_layers):
        if name in asking:
            continue
        benchmark = benchmark_class(name)(source, image_processor, config.settings)
        if benchmark.preprocess == "processor" and square_processor(image_processor) is not image_processor:
            benchmark.preprocess = "squash"  # a NaFlex processor would keep the shape of the image
        if benchmark.left_out:
            say(f"{name}: {benchmark.left_out} stimuli cannot be decoded and are left out.")
        benchmarks[name] = benchmark
    return _Prepared(benchmarks, reads_text=not mute)


def _readout(
    encoder: Encoder, folder: Path, revision: Revision, config: EvaluationConfig, say: Callable[[str], Any]
) -> Readout:
    check = None
    if config.dtype != "float32":
        check = PrecisionCheck(folder, revision.name, config.device or str(encoder.device), say)
    return Readout(encoder, batch_size=config.batch_size, check=check, name=revision.name)


def _facts(config: EvaluationConfig, revision: Revision, name: str, benchmark: Benchmark) -> dict[str, Any]:
    return {
        "repo_id": config.repo_id,
        "revision": revision.name,
        "commit": revision.commit,
        "epoch": revision.epoch,
        "step": revision.step,
        "samples_seen": revision.samples_seen,
        "benchmark": name,
        "data_fingerprint": benchmark.fingerprint,
        "preprocess": benchmark.preprocess,
        "dtype": config.dtype,
    }


def _run_pair(asking: _Asking, readout: Readout, config: EvaluationConfig, store: ResultsStore) -> None:
    start = time.perf_counter()
    if asking.final is not None:
        readout = readout.with_texts(asking.final)
    trials = asking.benchmark.observe(readout)
    counts = share(range(PartialState().num_processes), lambda _: len(trials))
    assert set(counts) == {len(trials)}, f"the processes saw unequal numbers of stimuli: {counts}"
    if not PartialState().is_main_process:
        return
    _keep(asking, trials, config, store, start, new_trials=True)


def _rescore_pair(
    asking: _Asking, config: EvaluationConfig, store: ResultsStore, say: Callable[[str], Any]
) -> None:
    start = time.perf_counter()
    trials = store.trials(asking.pair, final_text=asking.final is not None)
    if trials is None:
        name = f"{asking.facts['revision']} on {asking.facts['benchmark']}"
        say(f"{name} keeps its numbers: its trials were not kept, --force measures it anew.")
        return
    _keep(asking, trials, config, store, start, new_trials=False)


def _keep(
    asking: _Asking,
    trials: pd.DataFrame,
    config: EvaluationConfig,
    store: ResultsStore,
    start: float,
    *,
    new_trials: bool,
) -> None:
    """Score the trials and write the pair; ``start`` is when the work on it began."""
    measurements = asking.benchmark.score(trials, config.settings)
    seconds = time.perf_counter() - start
    suffix = "" if asking.final is None else f"/{FINAL_TEXT}"
    rows = [
        {
            **asdict(one),
            "metric": one.metric + suffix,
            "versions": _versions(),
            "seconds": seconds,
        }
        for one in measurements
    ]
    assert all(set(row) | set(asking.facts) == set(SCHEMA.names) for row in rows)
    store.add(
        dict(asking.facts),
        rows,
        trials if new_trials and config.keep_trials else None,
        final_text=asking.final is not None,
        obsolete=_obsolete(asking, store),
    )


def _obsolete(asking: _Asking, store: ResultsStore) -> list[Pair]:
    """The pairs of all revisions that asked the same with the texts of an earlier last revision."""
    if asking.final is None:
        return []
    own = {name: value for name, value in asking.facts.items() if name in ("repo_id", "benchmark", "dtype")}
    held = [dict(zip(PAIR, pair, strict=True)) for pair in store.pairs()]
    commits = {pair["commit"] for pair in held if pair["repo_id"] == own["repo_id"]}
    earlier = asking.final.earlier_fingerprints(asking.benchmark.fingerprint, commits)
    return [
        tuple(pair.values())
        for pair in held
        if pair["data_fingerprint"] in earlier and own.items() <= pair.items()
    ]


@cache
def _versions() -> str:
    return json.dumps({name: importlib.metadata.version(name) for name in _PACKAGES})
