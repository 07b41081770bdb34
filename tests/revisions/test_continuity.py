"""Suites with one fault each are judged from a sample of their weights."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from hub_server.server import HubServer
from hub_server.state import File, Repo
from sampled_suites import (
    STEPS,
    Files,
    Suite,
    Tensors,
    adamw_series,
    safetensors,
    shards,
    torch_bin,
    trained_lm,
)

from hf_clipdyn.errors import RevisionError
from hf_clipdyn.revisions.listing import open_series
from hf_clipdyn.revisions.remote import _first_bytes
from hf_clipdyn.revisions.suite import Report
from hf_clipdyn.revisions.verify import verify, verify_repository

Found = set[tuple[str, str]]


def checked(states: Mapping[str, Tensors], form: Callable[[Tensors], Files] = safetensors) -> Report:
    suite = Suite({name: form(tensors) for name, tensors in states.items()})
    return verify_repository(suite, continuity=True)


def kinds(report: Report, *, notes: bool = False) -> Found:
    return {(one.revision, one.kind) for one in (report.notes if notes else report.findings)}


def named(states: list[dict], steps: tuple[int, ...] = ()) -> dict[str, Tensors]:
    return {
        f"step{step}": {name: torch.as_tensor(value) for name, value in state.items()}
        for step, state in zip(steps or range(0, 60 * len(states), 60), states, strict=True)
    }


@pytest.fixture(scope="module")
def run() -> dict[str, Tensors]:
    return named(adamw_series(1))


@pytest.fixture(scope="module")
def other_seed() -> dict[str, Tensors]:
    return named(adamw_series(2))


@pytest.fixture(scope="module")
def other_order() -> dict[str, Tensors]:
    return named(adamw_series(1, order=5))


# --- synthetic suites -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [safetensors, torch_bin, shards])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_an_intact_run_has_neither_findings_nor_notes(run, form, dtype: torch.dtype) -> None:
    report = checked(
        {name: {key: value.to(dtype) for key, value in state.items()} for name, state in run.items()}, form
    )
    assert kinds(report) | kinds(report, notes=True) == set(), report.render()
    assert report.sentences[0].startswith("12 revisions are consistent with one run in this order.")
    clock = [one.clock for one in report.positions if one.shard in ("", "shard 1")]
    assert clock == sorted(clock)
    rates = [4e-3 * 0.5 * (1 + np.cos(np.pi * step / 660)) for step in range(660)]
    assert clock[-1] == pytest.approx(-np.log(1 - np.array(rates) * 0.1).sum(), abs=2e-4)


@pytest.mark.parametrize("position", [0, 1, 5, 11])
def test_a_revision_of_another_seed_is_another_initialisation(run, other_seed, position: int) -> None:
    name = f"step{60 * position}"
    report = checked(run | {name: other_seed[name]})
    assert kinds(report) == {(name, "other-initialisation")}
    early, late = (0, 60) if position == 0 else (60 * position - 60, 60 * position)
    assert f"step{late} does not continue step{early}: sampled weights correlate by " in report.render()


@pytest.mark.parametrize("position", [1, 5, 9])
def test_of_two_swapped_revisions_the_first_is_named(run, position: int) -> None:
    first, second = f"step{60 * position}", f"step{60 * position + 60}"
    report = checked(run | {first: run[second], second: run[first]})
    assert kinds(report) == {(first, "off-path"), (first, "clock")}
    assert not report.notes


@pytest.mark.parametrize("position", [1, 5, 9])
def test_the_last_weights_under_an_earlier_name_are_named_with_the_revision_that_has_their_bytes(
    run, position: int
) -> None:
    name = f"step{60 * position}"
    report = checked(run | {name: run["step660"] | {"saved": torch.zeros(1)}})  # another file, equal tensors
    assert kinds(report) == {(name, "same-bytes"), (name, "off-path"), (name, "clock")}
    assert f"{name} has the bytes of step660 in 4 of 4 sampled windows." in report.render()


@pytest.mark.parametrize("position", [2, 5])
def test_a_shard_of_the_last_revision_is_named_by_its_number(run, position: int) -> None:
    name = f"step{60 * position}"
    mixed = {
        key: run["step660" if key in ("layer.2.weight", "layer.3.weight") else name][key] for key in run[name]
    }
    report = checked(run | {name: {**mixed, "layer.3.bias": torch.full((1,), float(position))}}, shards)
    assert kinds(report) == {(name, "same-bytes"), (name, "off-path")}
    assert f"{name}, shard 2, is not between step{60 * position - 60} and step{60 * position + 60} (rho" in (
        report.render()
    )


def test_revisions_that_take_no_step_are_named_both(run) -> None:
    report = checked(run | {"step60": run["step0"] | {"saved": torch.zeros(1)}})
    assert kinds(report) == {("step0", "same-bytes"), ("step60", "same-bytes")}


def test_a_frozen_tensor_is_not_a_finding(run) -> None:
    frozen = {name: state | {"layer.0.weight": run["step0"]["layer.0.weight"]} for name, state in run.items()}
    assert kinds(checked(frozen)) == set()


def test_another_order_of_the_data_leaves_the_path(run, other_order) -> None:
    assert kinds(checked(run | {"step420": other_order["step420"]})) == {("step420", "off-path")}


def test_a_block_of_another_order_is_a_jump_at_its_ends(run, other_order) -> None:
    names = [f"step{60 * position}" for position in range(6, 9)]
    report = checked(run | {name: other_order[name] for name in names})
    assert {kind for _, kind in kinds(report, notes=True)} >= {"jump"}


def test_without_decay_there_is_no_clock() -> None:
    report = checked(named(adamw_series(1, decay=0.0)))
    assert not report.findings
    assert {one.clock for one in report.positions} == {None}


def test_a_series_without_its_start_is_a_finding_and_without_step_0_a_note(run) -> None:
    late = {name: state for name, state in run.items() if int(name[4:]) >= 180}
    assert kinds(checked(late)) == {("step180", "missing-start")}
    report = checked({name: state for name, state in run.items() if name != "step0"})
    assert (kinds(report), kinds(report, notes=True)) == (set(), {("step60", "no-initialisation")})


def test_only_revisions_of_one_series_are_compared(run, other_seed) -> None:
    stages = {f"stage1-{name}": state for name, state in run.items()}
    report = checked(stages | {f"stage2-{name}": state for name, state in other_seed.items()})
    assert not report.findings
    assert len(report.sentences) == 2


def test_tensors_that_are_absent_or_of_another_shape_are_not_compared(run) -> None:
    changed = dict(run["step120"]) | {"layer.1.weight": torch.zeros(8, 64)}
    changed["layer.2.weight"] = torch.full((64, 64), torch.nan)
    report = checked(run | {"step120": changed})
    assert kinds(report) == {("step120", "other-size")}
    assert kinds(report, notes=True) == {("step120", "not-compared")}
    assert "2 of 4 sampled tensors are absent" in report.render()


# --- what is read -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sparse:
    """The content of a file of any size: its beginning, and noise after it."""

    start: bytes
    size: int
    key: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> bytes:
        first, last, _ = part.indices(self.size)
        assert last - first < 10**6
        noise = np.random.default_rng([first, self.key]).normal(0, 0.02, (last - first + 3) // 2)
        return (self.start[first:last] + noise.astype("<f2").tobytes())[: last - first]


def pythia_12b(key: int) -> dict[str, Sparse]:
    """The three files of a revision as large as Pythia-12B, 24 GB of float16."""
    wide = 5120
    tensors = {"gpt_neox.embed_in.weight": (50_688, wide)}
    for layer in range(36):
        stem = f"gpt_neox.layers.{layer}"
        tensors |= {
            f"{stem}.{name}.{part}": (rows, columns)[: 2 if part == "weight" else 1]
            for name, rows, columns in (
                ("attention.query_key_value", 3 * wide, wide),
                ("attention.dense", wide, wide),
                ("mlp.dense_h_to_4h", 4 * wide, wide),
                ("mlp.dense_4h_to_h", wide, 4 * wide),
            )
            for part in ("weight", "bias")
        }
    tensors["embed_out.weight"] = (50_688, wide)
    files, names = {}, list(tensors)
    for shard in range(3):
        position, header = 0, {}
        for name in names[len(names) * shard // 3 : len(names) * (shard + 1) // 3]:
            end = position + 2 * int(np.prod(tensors[name]))
            header[name] = {"dtype": "F16", "shape": tensors[name], "data_offsets": [position, end]}
            position = end
        text = json.dumps(header).encode()
        start = len(text).to_bytes(8, "little") + text
        files[f"model-{shard + 1:05d}-of-00003.safetensors"] = Sparse(start, len(start) + position, key)
    return files


def put(hub: HubServer, revisions: Mapping[str, Mapping[str, Sparse | bytes]]) -> None:
    repo = hub.state.repos["models", "them/suite"] = Repo("models", "them/suite")
    for name, files in revisions.items():
        tree = {}
        for path, content in files.items():
            sha256 = f"{len(hub.state.large):064x}"
            hub.state.large[sha256] = content
            tree[path] = File.large(sha256, len(content))
        repo.commit(name, name, tree)
    repo.branches["main"] = repo.branches[name]


def test_a_revision_of_24_gigabytes_costs_16_requests_and_1_2_megabytes(hub: HubServer, monkeypatch) -> None:
    put(hub, {f"step{step}": pythia_12b(key) for step, key in ((0, 1), (1000, 1), (2000, 2))})
    sent = []
    monkeypatch.setattr(Sparse, "__getitem__", _counting(Sparse.__getitem__, sent))
    report = verify("them/suite", continuity=True)
    assert hub.count("resolve-get") == len(sent) == 3 * 16
    assert sum(sent) < 3 * 1_250_000
    assert {one.shard for one in report.positions} == {"shard 1", "shard 2", "shard 3"}
    assert ("step2000", "other-initialisation") in kinds(report)
    assert kinds(report) >= {("step0", "same-bytes"), ("step1000", "same-bytes")}


def _counting(read: Callable, sent: list[int]) -> Callable:
    def counted(content: Sparse, part: slice) -> bytes:
        data = read(content, part)
        sent.append(len(data))
        return data

    return counted


def test_the_default_reads_metadata_alone(hub: HubServer, run, clipdyn) -> None:
    put(hub, {name: safetensors(state) for name, state in run.items()})
    assert clipdyn("verify", "them/suite")[0] == 0
    assert hub.count("resolve-get") == 0
    code, printed, _ = clipdyn("verify", "them/suite", "--continuity")
    assert code == 0
    assert ", r0 0.91, clock 0.1322" in printed
    assert "12 revisions are consistent with one run in this order." in printed


@pytest.mark.parametrize("form", [safetensors, torch_bin])
def test_a_server_without_ranges_ends_in_a_sentence_before_it_has_sent_4_megabytes(
    hub: HubServer, clipdyn, form
) -> None:
    large = {f"layer.{index}.weight": torch.zeros(1000, 1500) for index in range(5)}
    put(hub, {f"step{step}": form(large) for step in (0, 1)})
    hub.state.ranges = False
    code, _, said = clipdyn("verify", "them/suite", "--continuity")
    assert code == 1
    assert "cannot be read in parts, since its server ignores ranges of bytes" in said
    assert len(said.strip().splitlines()) == 1
    assert 0 < hub.sent < 4_000_000


def test_a_beginning_is_read_from_a_server_without_ranges_and_no_other_part(hub: HubServer) -> None:
    put(hub, {"step0": {"model.safetensors": bytes(10**7)}})
    hub.state.ranges = False
    repository = open_series("them/suite").repository
    commit = repository.refs()["step0"]
    assert repository.read(commit, "model.safetensors", 1000) == bytes(1000)
    with pytest.raises(RevisionError, match="ignores ranges"):
        repository.read(commit, "model.safetensors", 1000, 5000)
    hub.state.ranges = True
    assert repository.read(commit, "model.safetensors", 1000, 10**7 - 10) == bytes(10)


def test_nothing_is_taken_after_the_bytes_that_are_asked_for() -> None:
    parts = iter([b"abc", b"def", b"ghi"])
    assert _first_bytes(parts, 4) == b"abcd"
    assert list(parts) == [b"ghi"]


# --- hostile files ------------------------------------------------------------------------------------------


class Evil:
    def __reduce__(self):
        return eval, ("open('ran', 'w')",)


def archive(description: bytes, **entries: bytes) -> Files:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        written.writestr("archive/data.pkl", description)
        for name, content in entries.items():
            written.writestr(f"archive/data/{name[1:]}", content)
    return {"pytorch_model.bin": file.getvalue()}


HOSTILE = {
    "code": (archive(pickle.dumps(Evil())), "builtins.eval, and code of a file is never run"),
    "old protocol": (archive(b"cos\nsystem\n(S'true'\ntR."), "its pickle contains"),
    "memo": (archive(b"\x80\x02}r\xff\xff\xff\xff."), "LONG_BINPUT"),
    "damaged": (archive(b"\x80\x02}"), "its pickle is damaged"),
    "no dictionary": (archive(b"\x80\x02K\x01."), "not a dictionary of tensors"),
    "no pickle": ({"pytorch_model.bin": b"PK\x05\x06" + bytes(18)}, "no data.pkl"),
    "no archive": ({"pytorch_model.bin": bytes(1000)}, "not a zip archive, as torch 1.6 and later write it: save"),
    "torch 1.5": (torch_bin({"x": torch.zeros(9, 9)}, zipped=False), "not a zip archive"),
    "empty": ({"pytorch_model.bin": b""}, "not a zip archive"),
    "cut": ({"pytorch_model.bin": archive(b"\x80\x02}.")["pytorch_model.bin"][:-30]}, "not a zip archive"),
    "header": ({"model.safetensors": b"\xff" * 8 + bytes(100)}, "the header is longer than the file"),
    "pt": ({"epoch_1.pt": bytes(100)}, "only safetensors and .bin files are read in parts, a .pt file may"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_cannot_be_trusted_is_not_read_and_nothing_of_it_runs(
    run, what: str, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files, message = HOSTILE[what]
    suite = Suite({name: safetensors(state) for name, state in run.items()} | {"step660": files})
    report = verify_repository(suite, continuity=True)
    (note,) = report.notes
    assert (note.revision, note.kind) == ("step660", "not-read")
    assert message in note.message
    assert not list(tmp_path.iterdir())
    assert len(report.positions) == 11


def test_a_pickle_that_announces_more_than_its_entry_has_is_skipped() -> None:
    tensors = {f"layer.{index}.weight": torch.rand(16, 16) for index in range(3)}
    description = zipfile.ZipFile(io.BytesIO(torch_bin(tensors)["pytorch_model.bin"])).read(
        "archive/data.pkl"
    )
    report = verify_repository(
        Suite({f"step{step}": archive(description, _0=bytes(4)) for step in range(3)}), continuity=True
    )
    assert {note.kind for note in report.notes} == {"not-read"}


# --- trained suites -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trained:
    """Runs of the same data and schedule: the main one, its averages, another order, another seed, a fine-tuning."""

    main: dict[str, Tensors]
    averages: dict[str, Tensors]
    other_order: dict[str, Tensors]
    other_seed: dict[str, Tensors]
    tuned: dict[str, Tensors]

    @property
    def last(self) -> Tensors:
        return self.main["step1536"]


@pytest.fixture(scope="module")
def trained() -> Trained:
    main, averages = trained_lm()
    tuned, _ = trained_lm(order=7, start=main[-1], peak=1e-4)
    return Trained(
        named(main, STEPS),
        named(averages, STEPS),
        named(trained_lm(order=1)[0], STEPS),
        named(trained_lm(1)[0], STEPS),
        named(tuned[1:], tuple(1536 + step for step in STEPS[1:])),
    )


@pytest.mark.slow
def test_correct_trained_suites_have_no_findings(trained: Trained) -> None:
    def stored(dtype: torch.dtype) -> dict[str, Tensors]:
        return {
            name: {key: one.to(dtype) for key, one in state.items()} for name, state in trained.main.items()
        }

    suites = {
        "main": checked(trained.main),
        "bin": checked(trained.main, torch_bin),
        "five shards": checked(trained.main, lambda tensors: shards(tensors, 5)),
        "bfloat16": checked(stored(torch.bfloat16)),
        "float16": checked(stored(torch.float16)),
        "averages": checked(trained.averages),
        "other order": checked(trained.other_order),
        "other seed": checked(trained.other_seed),
        "fine-tuned": checked(trained.main | trained.tuned),
    }
    assert {name: kinds(report) for name, report in suites.items()} == {name: set() for name in suites}
    clock = [one.clock for one in suites["main"].positions]
    assert clock == sorted(clock)
    assert clock[-1] > 0.05
    assert clock == pytest.approx([one.clock for one in suites["other seed"].positions], abs=1e-5)


@pytest.mark.slow
def test_what_is_wrong_in_a_trained_suite_is_named(trained: Trained) -> None:
    steps = (4, 16, 128, 384, 640, 896, 1152, 1280)
    faults: dict[str, tuple[dict[str, Tensors], Found]] = {}
    for step in (0, 2, 128, 896):
        name = f"step{step}"
        faults[f"seed {step}"] = ({name: trained.other_seed[name]}, {(name, "other-initialisation")})
    for step, after in pairwise(STEPS[1:-1]):
        name, other = f"step{step}", f"step{after}"
        swapped = {name: trained.main[other], other: trained.main[name]}
        faults[f"swap {step}"] = (swapped, {(name, "off-path"), (name, "clock")})
    for step in steps:
        name = f"step{step}"
        resaved = {**trained.last, "saved": torch.zeros(1)}
        named_so = {(name, "same-bytes"), (name, "off-path"), (name, "clock")}
        faults[f"last {step}"] = ({name: resaved}, named_so)
    for step in (384, 640, 896, 1280):  # early, another order shows less
        name = f"step{step}"
        faults[f"order {step}"] = ({name: trained.other_order[name]}, {(name, "off-path")})
    said = {what: kinds(checked(trained.main | changed)) for what, (changed, _) in faults.items()}
    assert said == {what: expected for what, (_, expected) in faults.items()}


@pytest.mark.slow
@pytest.mark.parametrize("step", [128, 384, 768, 1152])
def test_a_shard_of_the_last_step_of_a_trained_suite_is_named(trained: Trained, step: int) -> None:
    name = f"step{step}"
    half = list(trained.last)[len(trained.last) // 2 :]
    for marked in ({}, {"zz": torch.full((1,), float(step))}):  # also if the file differs
        mixed = {**trained.main[name], **{key: trained.last[key] for key in half}, **marked}
        report = checked(trained.main | {name: mixed}, shards)
        assert {(name, "off-path"), (name, "same-bytes")} <= kinds(report)
        assert {revision for revision, kind in kinds(report) if kind == "off-path"} == {name}
        assert f"{name}, shard 2, is not between" in report.render()


@pytest.mark.slow
def test_the_last_weights_under_the_name_before_are_equal_to_both(trained: Trained) -> None:
    report = checked(trained.main | {"step1408": {**trained.last, "saved": torch.zeros(1)}})
    assert kinds(report) == {("step1408", "same-bytes"), ("step1536", "same-bytes")}
