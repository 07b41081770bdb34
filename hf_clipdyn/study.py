"""`clipdyn study`: a study from one file: train every run, measure every revision, judge the claims, draw the page.

The file lists the members of the study (`hf_clipdyn.members`) and may give a ``title``. What a member leaves is below
the study's folder::

    <name>/                     # the run, as `clipdyn train` leaves it
    <name>/results.parquet      # its numbers, with cells, trials and influences beside it
    <name>/results.complete/    # one file for each evaluation that is complete
    results.parquet  verdicts.parquet  report/index.html      # of everything below the folder
    relations.parquet           # how seeds and arms relate, if the evaluation has the suite `dynamics`
    results.influences.parquet  # what these verdicts and this page need of the trials

Several files may share one folder: its page shows the runs of all.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hf_clipdyn.bundled import study_path
from hf_clipdyn.errors import ClipDynError, ConfigError, EvaluationError, TrainingInterrupted, counted
from hf_clipdyn.files import check_output
from hf_clipdyn.members import TABLE, Member, read_members
from hf_clipdyn.schema import check_keys, read_yaml

if TYPE_CHECKING:
    from hf_clipdyn.report.page.stimuli import StimuliChoice

_KEYS = ("title", "defaults", "runs", "models", "evaluation")  # all but the first hold collections
_VERDICTS = "verdicts.parquet"
_RELATIONS = "relations.parquet"
_REPORT = "report"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """How the page is written; see `hf_clipdyn.write_report`.

    Attributes:
        claims: a file of claims; None for the package's.
        stimuli: pictures of the stimuli on the page.
        style: of the figures.

    Raises:
        ConfigError: the file of claims or the style cannot be read.
        UnknownNameError: there is no such style.
    """

    claims: Path | None = None
    stimuli: "StimuliChoice" = "thumbnails"
    style: str | None = None

    def __post_init__(self) -> None:
        # Before hours of work.
        if self.claims is not None:
            from hf_clipdyn.statistics.claims import read_claims

            read_claims(self.claims)
        if self.style is not None:
            from hf_clipdyn.report.style import read_style

            read_style(self.style)


@dataclass(frozen=True)
class StudyFiles:
    """What a study leaves behind, and what it prints.

    Attributes:
        results: all numbers.
        verdicts: the table of verdicts; None if nothing was measured that a claim is about.
        page: the report.
        message: the verdicts as text, and where the files are.
    """

    results: Path
    verdicts: Path | None
    page: Path
    message: str


class Study:
    """Runs and models with the same kind of evaluation.

    Args:
        members: with names, folders and repositories of their own.
        folder: holds them.
        where: they were read, for messages.
        title: of the page.
        page: how the page is written; None for no page and no verdicts.

    Raises:
        ConfigError: two members share a name, a folder or a repository; one has the name of a file of the study, or
            must not resume; or the study's tables would replace other files.
    """

    def __init__(
        self,
        members: Sequence[Member],
        folder: Path,
        where: str = "the study",
        *,
        title: str = "",
        page: Page | None = None,
    ) -> None:
        self.members, self.folder, self.title, self._page = tuple(members), folder, title, page
        _check_apart(self.members, where)
        if page is not None:
            from hf_clipdyn.results.read import is_combined
            from hf_clipdyn.statistics.verdicts import check_verdicts

            check_output(folder / TABLE, what="the table of a study", is_own=is_combined)
            check_verdicts(folder / _VERDICTS)
        self.files: StudyFiles | None = None

    @classmethod
    def read(
        cls,
        config: str | Path,
        output_dir: Path | None = None,
        *,
        data_dirs: Mapping[str, Path] | None = None,
        page: Page | None = None,
    ) -> Self:
        """The study of a file.

        Args:
            config: name of a study of the package, or a YAML file.
            output_dir: its folder, in place of the file's.
            data_dirs: folders of data sets by name, beside those of the file.
            page: how the page is written; None for none.

        Raises:
            ConfigError: an unknown key, a wrong value, or runs that are not apart.
            UnknownNameError: there is neither such a study nor such a file.
        """
        path = study_path(str(config))
        file = read_yaml(path, nested=_KEYS[1:])
        check_keys(file, _KEYS, str(path))
        folder, members = read_members(file, path, output_dir, data_dirs or {})
        title = file.get("title")
        return cls(members, folder, str(path), title="" if title is None else str(title), page=page)

    def run(self, shard: str | None = None) -> str:
        """Train and measure what is missing, one member after the other; then judge and draw, but not for a shard.

        A member that fails stops no other one.

        Args:
            shard: i/n: only this part of the members.

        Returns:
            The verdicts and where the files are, or what is complete.

        Raises:
            ConfigError: there is no such part, a folder contains a run of another recipe, or this is one of several
                processes of a launcher.
            EvaluationError: members failed; all others are complete.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ConfigError(
                "A study runs in one process: call it without a launcher, once for each --shard."
            )
        parts = list(self._parts(shard))
        missing = [(member, part, lacks) for member, part in parts if (lacks := member.lacks())]
        state = [
            f"{len(missing)} of {counted(len(parts), 'member')} {'is' if len(missing) == 1 else 'are'} missing:"
        ]
        state += [f"  {member.name}: {lacks}" for member, _, lacks in missing]
        _log.info("\n".join(state) if missing else f"{self._all(parts)} trained and measured.")
        failed = []
        for number, (member, part, _) in enumerate(missing, 1):
            _log.info(f"{member.name} begins, {counted(len(missing) - number, 'member')} to go.")
            try:
                member.complete(part)
            except TrainingInterrupted:
                raise
            except ClipDynError as error:
                failed.append(f"{member.name}: {error}")
                _log.warning(failed[-1])
        if failed:
            raise EvaluationError(
                f"{len(failed)} of {counted(len(parts), 'member')} failed. Repeat the command: it continues them. "
                + " ".join(failed)
            )
        if shard is not None:
            done = f"{self._all(parts)} trained and measured."
            return f"{done} When all shards are, call the same command without --shard."
        if self._page is None:
            return f"{self._all(parts)} complete in {self.folder}."
        self.files = self._written(self._page)
        return self.files.message

    def _parts(self, shard: str | None) -> Iterator[tuple[Member, str | None]]:
        """The members of a shard, in which a run is whole and a model has a part of its revisions.

        The first revision of each member is in the shard after that of the member before it.
        """
        from hf_clipdyn.evaluation.config import read_shard

        part, parts = read_shard(shard)
        for place, member in enumerate(self.members):
            turn = (part - 1 - place) % parts
            if shard is None or (member.config is not None and turn == 0):
                yield member, None
            elif member.config is None:
                yield member, f"{turn + 1}/{parts}"

    @staticmethod
    def _all(parts: Sequence[object]) -> str:
        return "The member is" if len(parts) == 1 else f"All {len(parts)} members are"

    def _written(self, page: Page) -> StudyFiles:
        """Write what concerns all members below the folder, of whichever file."""
        from hf_clipdyn.report import write_report
        from hf_clipdyn.report.provenance import origin_words
        from hf_clipdyn.report.study import study_of
        from hf_clipdyn.results.read import read_results, write_results
        from hf_clipdyn.statistics.verdicts import provenance, render, verdict_table, write_verdicts

        tables = sorted(self.folder.glob(f"*/{TABLE}"))
        relations = self._related(tables)
        _log.info(f"Judging and drawing {counted(len(tables), 'run')}.")
        # Small models come first on the page, and in its colours.
        read = read_results([*tables, *relations]).smallest_first()
        study = study_of(read, [path.name for path in read.tables], claims=page.claims)
        results, verdicts = self.folder / TABLE, self.folder / _VERDICTS
        facts = provenance(study.results, study.evidence)
        write_results(study.results, results, facts)
        said = ["No claim is about the measured benchmarks, so there are no verdicts."]
        if study.verdicts:
            write_verdicts(verdict_table(study.verdicts), verdicts, facts)
            origin = origin_words(study.results, study.evidence, page.claims)
            said = [render(study.verdicts, study.arm_effects), "", origin, "", f"Verdicts: {verdicts}"]
        written = write_report(
            study,
            self.folder / _REPORT,
            stimuli=page.stimuli,
            data_dirs={
                name: path
                for member in self.members
                for one in member.evaluations
                for name, path in one.data_dirs.items()
            },
            style=page.style,
            title=self.title or None,
        )
        study.influences.write(results)
        message = "\n".join([*said, f"Results:  {results}", f"Page:     {written}"])
        return StudyFiles(results, verdicts if study.verdicts else None, written, message)

    def _related(self, tables: Sequence[Path]) -> list[Path]:
        """Relate the seeds and the arms with each other, if members ask for relations; the table, if there is one."""
        asking = [one for member in self.members if (one := member.evaluations[0]).related]
        if not asking or len(tables) < 2:
            return []
        from hf_clipdyn.evaluation.evaluate import evaluate_relations

        names = dict.fromkeys(name for one in asking for name in one.related)
        output = self.folder / _RELATIONS
        config = asking[0].but(benchmarks=None, revisions=None, relations=tuple(names), output=output)
        evaluate_relations(config, tables)
        return [output] if output.exists() else []


def _check_apart(members: Sequence[Member], where: str) -> None:
    """Refuse two members that would write to the same place, and one that would write to a file of the study."""
    first: dict[tuple[str, object], Member] = {}  # the first member with that name, folder or repository
    among = f"runs of {where}" if all(member.config is not None for member in members) else "runs or models"
    for member in members:
        if first.setdefault(("name", member.name), member) is not member:
            raise ConfigError(f"Two {among} are called {member.name}: give each a `name` of its own.")
        if (other := first.setdefault(("folder", member.folder.resolve()), member)) is not member:
            raise ConfigError(
                f"{other.name} and {member.name} of {where} have the same folder: give one another name."
            )
        repository = None if member.config is None else member.config.repository
        other = first.setdefault(("repository", repository), member)
        if repository is not None and other is not member:
            raise ConfigError(
                f"{other.name} and {member.name} of {where} have the same repository, {repository}: put {{name}}, or "
                "{scale} and {seed}, into hub_model_id."
            )
        if member.name in (_REPORT, TABLE, _VERDICTS, _RELATIONS):
            raise ConfigError(
                f"A run is called {member.name}, as the study's own {'folder' if member.name == _REPORT else 'file'}: "
                "give the run another `name`."
            )


def run_study(
    config: str | Path = "study",
    output_dir: str | Path | None = None,
    *,
    data_dirs: Mapping[str, str | Path] | None = None,
    claims: str | Path | None = None,
    stimuli: "StimuliChoice" = "thumbnails",
    style: str | None = None,
    shard: str | None = None,
) -> StudyFiles | None:
    """Train and measure all members of a study, one after the other, judge the claims, and write the report.

    What is complete is not repeated, so you can repeat a call that was interrupted. Torch computes on one thread,
    because another number of threads rounds differently. `clipdyn study` does the same.

    Args:
        config: name of a study of the package (`hf_clipdyn.bundled.study_names` lists them), or a YAML file.
        output_dir: folder of the study; by default the one that the file names, or ``runs/<name of the file>``. The
            page shows all runs below it, also those of another file.
        data_dirs: folders of data sets that are not in ``$CLIPDYN_DATA``, by name.
        claims: a file of claims; default: the package's `claims.yaml`.
        stimuli: pictures of the stimuli on the page, ``none`` or ``thumbnails``.
        style: of the figures: name of a style of matplotlib, or a ``.mplstyle`` file.
        shard: ``i/n``: train and measure only part i of n. All parts share the folder, and may be processes at the same
            time; a last call without a shard relates, judges and draws.

    Returns:
        The paths of the results, the verdicts and the page, and the verdicts as text; None for a shard.

    Raises:
        ConfigError: the file or a table is wrong, or a folder contains a run of another recipe.
        UnknownNameError: there is no such study.
        EvaluationError: members failed; they are named, and the others are complete.

    Examples:
        >>> from hf_clipdyn import run_study
        >>> files = run_study("mine.yaml", "study")
        >>> files.results.name, files.page.name
        ('results.parquet', 'index.html')
    """
    folders = {name: Path(path) for name, path in (data_dirs or {}).items()}
    page = Page(None if claims is None else Path(claims), stimuli, style)
    folder = None if output_dir is None else Path(output_dir)
    study = Study.read(config, folder, data_dirs=folders, page=page)
    study.run(shard)
    return study.files
