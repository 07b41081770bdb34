"""The options of commands whose work can be jobs of a cluster or of the Hub; `hf_clipdyn.jobs` starts them."""

from dataclasses import dataclass

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.fields import option

__all__ = ["Submission"]


@dataclass(frozen=True)
class Submission:
    """The options of a command whose work can be jobs.

    Raises:
        ConfigError: one of them is given without ``submit``.
    """

    submit: str | None = option(
        None,
        "Start the work as jobs: local, slurm or hf-jobs.",
        metavar="SCHEDULER",
        group="Jobs",
    )
    submit_setting: tuple[str, ...] = option(
        (),
        "Setting of the scheduler, for example gpus_per_node=1. Repeat the option for each setting.",
        metavar="NAME=VALUE",
        whole=True,
    )
    print_command: bool = option(False, "Print the commands that `submit` would run, and run nothing.")
    wait: bool = option(False, "Wait for jobs of hf-jobs, and print their logs.")

    def __post_init__(self) -> None:
        if self.submit is None and (self.submit_setting or self.print_command):
            raise ConfigError("`submit_setting` and `print_command` require --submit.")
        if self.submit is None and self.wait:
            raise ConfigError("`wait` requires --submit.")
