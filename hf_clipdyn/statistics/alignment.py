"""Where revisions lie in training, and windows of it: runs of different lengths and paces side by side."""

from dataclasses import dataclass

from hf_clipdyn.errors import ConfigError

__all__ = ["Window"]


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of training; exactly one of its ways to choose revisions is given.

    Attributes:
        name: as weights of a contrast name it.
        start, end: shares of the samples of training, 0 to 1, both ends included.
        untrained: the revision before the first step.
        epochs: the revisions of these whole epochs.
        accuracy: where the run reaches this accuracy: between two revisions, by interpolation.
    """

    name: str
    start: float | None = None
    end: float | None = None
    untrained: bool = False
    epochs: tuple[int, ...] = ()
    accuracy: float | None = None

    def __post_init__(self) -> None:
        shares = self.start is not None or self.end is not None
        ways = [shares, self.untrained, bool(self.epochs), self.accuracy is not None]
        if sum(ways) != 1:
            raise ConfigError(
                f"The window {self.name!r} needs one of start and end, untrained, epochs or accuracy; it has {sum(ways)}."
            )
        if shares and not (
            self.start is not None and self.end is not None and 0 <= self.start <= self.end <= 1
        ):
            raise ConfigError(
                f"The window {self.name!r} goes from {self.start} to {self.end}: give shares, 0 <= start <= end <= 1."
            )
        if any(epoch < 0 for epoch in self.epochs):
            raise ConfigError(f"The window {self.name!r} has an epoch below 0.")
        if self.accuracy is not None and not 0 <= self.accuracy <= 1:
            raise ConfigError(f"The window {self.name!r} is at an accuracy of {self.accuracy}: give 0 to 1.")
