"""Suites of others, in the layouts of Pythia, OLMo and LAION, at their size and from metadata alone."""

import hashlib
from collections.abc import Iterable

import pytest
from hub_server.faults import Fault
from hub_server.server import HubServer
from hub_server.state import File, Repo

from hf_clipdyn.revisions.suite import Report
from hf_clipdyn.revisions.verify import verify

PYTHIA = [0, *(2**power for power in range(10)), *range(1000, 144_000, 1000)]
SMALL = {"config.json": File.small(b"{}"), "tokenizer.json": File.small(b"{}")}
Tree = dict[str, File]


def large(text: str, size: int = 10**9) -> File:
    """A file in the large storage; its content exists nowhere, so reading it fails."""
    return File.large(hashlib.sha256(text.encode()).hexdigest(), size)


def safetensors(name: str) -> Tree:
    return SMALL | {"model.safetensors": large(f"{name} safetensors")}


def both(name: str) -> Tree:
    return safetensors(name) | {"pytorch_model.bin": large(f"{name} bin")}


def shards(name: str, *, suffix: str = "bin", total: int = 3) -> Tree:
    stem = {"bin": "pytorch_model", "safetensors": "model"}[suffix]
    files = {
        f"{stem}-{index:05d}-of-{total:05d}.{suffix}": large(f"{name} {index}")
        for index in range(1, total + 1)
    }
    return SMALL | files | {f"{stem}.{suffix}.index.json": File.small(b"{}")}


def publish(hub: HubServer, trees: dict[str, Tree]) -> Repo:
    """A repository with these branches; `main` has the last one unless it is given."""
    repo = hub.state.repos["models", "them/suite"] = Repo("models", "them/suite")
    for name, tree in trees.items():
        repo.commit(name, name, tree)
    if "main" not in trees:
        repo.branches["main"] = repo.branches[list(trees)[-1]]
    return repo


def found(report: Report) -> list[tuple[str, str]]:
    return [(finding.revision, finding.kind) for finding in report.findings]


def pythia(layout=safetensors, steps: Iterable[int] = PYTHIA) -> dict[str, Tree]:
    return {f"step{step}": layout(f"step{step}") for step in steps}


@pytest.mark.parametrize("layout", [safetensors, both, shards])
def test_a_whole_suite_has_no_findings_and_costs_a_request_a_branch(hub: HubServer, layout) -> None:
    publish(hub, pythia(layout))
    report = verify("them/suite")
    assert report.findings == (), report.render()
    assert report.revisions == tuple(f"step{step}" for step in PYTHIA)
    assert len(hub.seen) == 1 + len(PYTHIA)  # the refs; main has the commit of step143000
    assert {seen.kind for seen in hub.seen} == {"refs", "tree"}


@pytest.mark.parametrize("count", [300, pytest.param(3000, marks=pytest.mark.slow)])
def test_many_branches_cost_a_request_each(hub: HubServer, count: int) -> None:
    steps = range(0, 1000 * count, 1000)
    trees = {f"step{step}-tokens{step // 238}B": safetensors(f"step{step}") for step in steps}
    del trees["step200000-tokens840B"]
    publish(hub, trees)
    report = verify("them/suite")
    assert found(report) == [("step200000-tokens*", "gap")]
    assert len(hub.seen) == count


def test_every_branch_that_shares_its_weights_is_found(hub: HubServer) -> None:
    """As in EleutherAI/pythia issue 205: most of the history serves the weights of main."""
    trees = pythia()
    final = safetensors("final")
    trees |= {"main": final, "step0": final, "step2": final, "step5000": final, "step7000": trees["step6000"]}
    publish(hub, trees)
    report = verify("them/suite")
    assert found(report) == [
        ("main", "main-not-newest"),
        *((f"step{step}", "identical-weights") for step in (0, 2, 5000, 6000, 7000)),
    ]
    messages = {finding.revision: finding.message for finding in report.findings}
    assert messages["step0"] == "The weights are identical to those of step2, step5000, main."
    assert messages["step7000"] == "The weights are identical to those of step6000."


def test_a_single_shard_of_another_step_is_found(hub: HubServer) -> None:
    """As in EleutherAI/pythia issue 206: the first of three shards is that of the last step."""
    trees = pythia(shards)
    first = "pytorch_model-00001-of-00003.bin"
    for name in ("step50000", "step58000"):
        trees[name] = trees[name] | {first: trees["step143000"][first]}
    publish(hub, trees)
    report = verify("them/suite")
    assert found(report) == [(f"step{step}", "identical-shard") for step in (50_000, 58_000, 143_000)]
    assert report.findings[0].message == (
        f"{first} is identical to that of step58000, step143000, main, but other shards differ."
    )


def test_a_shard_that_never_changes_is_one_finding(hub: HubServer) -> None:
    trees = pythia(shards, range(0, 6000, 1000))
    for tree in trees.values():
        tree["pytorch_model-00002-of-00003.bin"] = large("frozen")
    publish(hub, trees)
    assert found(verify("them/suite")) == [("step0", "identical-shard")]


def test_forms_are_compared_each_with_its_own_kind(hub: HubServer) -> None:
    trees = pythia(both, range(0, 6000, 1000))
    del trees["step1000"]["model.safetensors"]  # not converted
    trees["step2000"]["pytorch_model.bin"] = trees["step1000"]["pytorch_model.bin"]
    publish(hub, trees)
    messages = {finding.revision: finding.message for finding in verify("them/suite").findings}
    assert messages == {
        "step1000": "The weights are identical to those of step2000.",
        "step2000": "pytorch_model.bin is identical to that of step1000.",
    }


def test_branches_without_weights_gaps_and_lost_shards_are_found(hub: HubServer) -> None:
    trees = pythia(shards)
    for step in (64, 9000, 10_000):
        del trees[f"step{step}"]
    trees["step1"] = SMALL | {"training_args.bin": large("arguments", 5000)}
    trees["step3000"] = trees["step3000"] | {"pytorch_model-00002-of-00003.bin": large("pointer", 135)}
    del trees["step4000"]["pytorch_model-00002-of-00003.bin"]
    del trees["step5000"]["pytorch_model.bin.index.json"]
    trees["main"] = SMALL
    publish(hub, trees)
    report = verify("them/suite")
    assert found(report) == [
        ("main", "no-weights"),
        ("step64", "gap"),
        ("step9000", "gap"),
        ("step10000", "gap"),
        ("step1", "no-weights"),
        ("step3000", "other-size"),
        ("step4000", "other-size"),
        ("step4000", "missing-file"),
        ("step5000", "missing-file"),
    ]
    last = [finding.message for finding in report.findings[-2:]]
    assert last[0] == "The revision has 2 of 3 shards and lacks pytorch_model-00002-of-00003.bin."
    assert last[1] == "The revision has 3 of 3 shards and lacks pytorch_model.bin.index.json."


def test_the_stages_of_olmo_are_sequences_and_main_may_be_none_of_them(hub: HubServer) -> None:
    """As in allenai/OLMo issue 915: three branches of stage 1 serve the same shards."""
    steps = [150, 600, 700, *range(1000, 30_000, 1000)]
    names = [f"stage1-step{step}-tokens{-(-step * 42 // 10_000)}B" for step in steps]
    names += [
        f"stage2-ingredient{part}-step{step}-tokens{step // 238}B"
        for part in (1, 2)
        for step in range(1000, 12_000, 1000)
    ]
    trees = {name: shards(name, suffix="safetensors", total=6) for name in names}
    twin = "stage1-step9000-tokens38B"
    trees["stage1-step17000-tokens72B"] = trees[twin]
    del trees["stage1-step4000-tokens17B"], trees["stage2-ingredient2-step3000-tokens12B"]
    publish(hub, trees | {"main": shards("soup", suffix="safetensors", total=6)})
    assert found(verify("them/suite")) == [
        ("stage1-step4000-tokens*", "gap"),
        ("stage2-ingredient2-step3000-tokens*", "gap"),
        (twin, "identical-weights"),
        ("stage1-step17000-tokens72B", "identical-weights"),
    ]


def test_branches_of_open_clip_are_compared_whatever_their_files_are_named(hub: HubServer) -> None:
    trees = {f"epoch_{epoch}": {f"epoch_{epoch}.pt": large(f"{epoch}")} for epoch in range(1, 33)}
    trees["epoch_7"] = {"epoch_7.pt": trees["epoch_6"]["epoch_6.pt"]}
    del trees["epoch_20"]
    publish(hub, trees)
    assert found(verify("them/suite")) == [
        ("epoch_20", "gap"),
        ("epoch_6", "identical-weights"),
        ("epoch_7", "identical-weights"),
    ]


def test_checkpoint_files_on_main_are_the_suite_where_they_are_numbered(hub: HubServer, clipdyn) -> None:
    """As in LAION's scaling laws: a folder a run, an `epoch_N.pt` an epoch, no branches."""
    runs = ("Model-B-32_Data-80M_epochs-32", "Model-B-16_Data-400M")
    files = {
        f"full_checkpoints/{run}/epoch_{e}.pt": large(f"{run} {e}") for run in runs for e in range(1, 33)
    }
    one, other = (f"full_checkpoints/{runs[1]}/epoch_{epoch}.pt" for epoch in (3, 4))
    files[other] = files[one]
    del files[f"full_checkpoints/{runs[0]}/epoch_20.pt"]
    publish(hub, {"main": files | {"README.md": File.small(b"# LAION")}})
    report = verify("them/suite")
    assert len(report.checkpoints) == 63
    assert sorted(found(report)) == [
        (one, "identical-weights"),
        (other, "identical-weights"),
        (f"full_checkpoints/{runs[0]}/epoch_20.pt", "gap"),
    ]
    assert len(hub.seen) == 2
    code, printed, _ = clipdyn("verify", "them/suite")
    assert code == 1
    last = printed.splitlines()[-1]
    assert (
        "0 revisions, no manifest, 63 checkpoint files on main, 3 findings: 2 identical-weights, 1 gap"
        in last
    )


def test_a_name_without_a_number_is_an_alias_unless_no_name_has_one(hub: HubServer) -> None:
    trees = pythia(steps=range(0, 5000, 1000))
    repo = publish(hub, trees | {"final": trees["step4000"]})
    repo.tags["v1.0"] = repo.branches["step4000"]
    repo.branches["step4000-tokens8B"] = repo.branches["step4000"]
    assert verify("them/suite").findings == ()
    publish(hub, {name: safetensors("same") for name in ("early", "late")})
    assert found(verify("them/suite")) == [("early", "identical-weights"), ("late", "identical-weights")]


def test_configurations_are_read_once_each_and_their_origin_does_not_count(hub: HubServer) -> None:
    trees = pythia(steps=range(0, 20_000, 1000))
    for number, tree in enumerate(trees.values()):
        tree["config.json"] = File.small(
            b'{"_name_or_path": "checkpoint-%d", "hidden_size": 8}' % (number // 10)
        )
    trees["step3000"]["config.json"] = File.small(b'{"hidden_size": 9}')
    trees["step5000"]["merges.txt"] = File.small(b"")  # most revisions have none
    del trees["step6000"]["tokenizer.json"]
    publish(hub, trees)
    assert found(verify("them/suite")) == [("step3000", "other-config"), ("step6000", "missing-file")]
    assert len(hub.seen) == 1 + 20 + 3


def test_a_limit_of_requests_is_waited_for(hub: HubServer) -> None:
    publish(hub, pythia(steps=range(0, 20_000, 1000)))
    limit = Fault(status=429, headers={"RateLimit": '"api";r=0;t=0', "Retry-After": "0"})
    hub.plant("tree", limit, nth=5, times=3)
    assert verify("them/suite").findings == ()


def test_names_from_the_hub_are_printed_without_control_characters(hub: HubServer) -> None:
    publish(hub, {"main": {f"run\x1b[2J/epoch_{epoch}.pt": large("same") for epoch in (1, 2)}})
    report = verify("them/suite")
    assert len(report.findings) == 2
    assert "\x1b" not in report.render() + report.render(as_json=True)
