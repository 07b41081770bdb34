"""The commands about models and their revisions: revisions, verify, repair, import, app."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path

from hf_clipdyn.cli import shared
from hf_clipdyn.command_line import Command
from hf_clipdyn.fields import option


@dataclass(frozen=True, kw_only=True)
class Revisions(Command, group="Models and revisions"):
    """List the revisions of a repository.

    It prints name, epoch, step, samples seen, commit and SHA-256 of each.
    """

    repo: str = option(MISSING, "Folder of a run or of models, or a repository, owner/name.")
    store: Path | None = shared.store()
    as_json: bool = option(False, "Print JSON instead of a table.", flag="json")

    def run(self) -> None:
        from hf_clipdyn.revisions.open import list_revisions, render

        with shared.reading(self.repo, self.store):
            print(render(list_revisions(self.repo, store=self.store), as_json=self.as_json))


@dataclass(frozen=True, kw_only=True)
class Verify(Command, group="Models and revisions"):
    """Check every revision and its weights.

    They are compared with the manifest of their run. The exit code is 1 on any finding.
    """

    repo: str = option(MISSING, "Folder of a run or of models, or a repository, owner/name.")
    store: Path | None = shared.store()
    deep: bool = option(False, "Read every file and hash it.")
    as_json: bool = option(False, "Print JSON instead of a table.", flag="json")

    def run(self) -> int:
        from hf_clipdyn.revisions.verify import verify

        with shared.reading(self.repo, self.store):
            report = verify(self.repo, store=self.store, deep=self.deep)
        print(report.render(as_json=self.as_json))
        return int(bool(report.findings))


@dataclass(frozen=True, kw_only=True)
class Repair(Command, group="Models and revisions"):
    """Publish what is missing or wrong.

    What the Hub lacks is sent, a damaged folder is fetched from the Hub, and a branch with other contents is moved: its
    old commit keeps a tag. The exit code is 1 if anything is still missing.
    """

    run_dir: Path = option(MISSING, "Folder of the run (its output_dir).", flag="run")
    push_to_hub: bool = option(False, "Also push a run that is only local so far.")
    quiet: bool = shared.quiet()

    def run(self) -> int:
        from hf_clipdyn.revisions.repair import repair

        repaired = repair(self.run_dir, push_to_hub=self.push_to_hub, tell=print)
        print(repaired.render())
        return int(not repaired.is_whole)


@dataclass(frozen=True, kw_only=True)
class Import(Command, group="Models and revisions"):
    """Make revisions of open_clip checkpoints.

    The sources are the checkpoints of one run of open_clip, and each becomes a revision of the repository TARGET.
    """

    source: tuple[str, ...] = option(MISSING, "Checkpoint files, or owner/name/FOLDER on the Hub.")
    target: str = option(MISSING, "Repository to create.")
    from_open_clip: str = option(
        MISSING, "open_clip's name of the model, for example ViT-B-16-quickgelu.", named=True
    )
    samples_per_epoch: int | None = option(None, "Images per epoch, if known.")
    license: str | None = option(None, "Licence of the weights, for local checkpoint files.")
    output_dir: Path | None = option(None, "Folder of the run. Default: runs/<name>.")
    push_to_hub: bool = option(False, "Publish to the Hub too.")
    hub_private_repo: bool = option(False, "Make the repository on the Hub private.")
    quiet: bool = shared.quiet()

    def run(self) -> int:
        from hf_clipdyn.revisions.importing import hub_checkpoints, import_open_clip, local_checkpoints

        files = [Path(name) for name in self.source]
        place = re.fullmatch(r"([^/]+/[^/]+)(?:/(.+))?", self.source[0])
        is_local = len(files) > 1 or files[0].exists() or files[0].suffix in (".pt", ".safetensors")
        if is_local or place is None:
            source = local_checkpoints(files, self.license)
        else:
            source = hub_checkpoints(place[1], place[2])
        summary = import_open_clip(
            source,
            self.target,
            model=self.from_open_clip,
            output_dir=self.output_dir or Path("runs") / self.target.rpartition("/")[2],
            push_to_hub=self.push_to_hub,
            private=self.hub_private_repo,
            samples_per_epoch=self.samples_per_epoch,
        )
        print(summary.message)
        return int(bool(summary.missing))


@dataclass(frozen=True, kw_only=True)
class App(Command, group="Models and revisions"):
    """Ask every revision about an image.

    It starts a page in the browser, for this machine only: drop an image, take one with the webcam or show a stimulus
    of a benchmark, and write class names. The page shows probability, margin and rank of each class over the revisions,
    and where two of them attend. Nothing that you upload is kept. It requires `pip install 'hf-clipdyn[app]'`.
    """

    what: str = option(
        MISSING,
        "Run, repository or folder of models; or a table of `clipdyn evaluate`, for all of its models.",
    )
    revisions: tuple[str, ...] = option((), "Revisions to show. Default: all.")
    store: Path | None = shared.store()
    data_dir: Mapping[str, Path] = shared.folders()
    device: str | None = option(None, "Device. Default: the GPU if there is one.")
    port: int | None = option(None, "Port. Default: the first free one from 7860 on.", within="[1, 65535]")

    def run(self) -> None:
        from hf_clipdyn.app import serve
        from hf_clipdyn.evaluation.answers import open_models

        with shared.reading(self.what, self.store):
            opened = open_models(
                self.what,
                store=self.store,
                wanted=self.revisions,
                device=self.device,
                data_dirs=self.data_dir,
            )
        serve(opened, port=self.port)
