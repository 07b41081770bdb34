"""Response curves: how a response grows with the strength of a stimulus, beside the strength that people need.

A kind whose trials hold such a curve declares the columns that it takes, and makes `ResponseCurve` of the trials of one
revision; the page of a report then draws them epoch by epoch.
"""

from dataclasses import dataclass

__all__ = ["ResponseCurve"]


@dataclass(frozen=True, kw_only=True)
class ResponseCurve:
    """The response to one stimulus by its strength.

    Attributes:
        condition, level, parameter: as the numbers of the kind name them.
        contrasts: strengths that were shown, ascending.
        responses: at these, relative to the criterion: 1 is an equal response; not negative.
        human: strength at which people's response is equal; None if unknown.
        reference: name of a baseline; empty for the model.
    """

    condition: str
    level: float | None
    parameter: float | None
    contrasts: tuple[float, ...]
    responses: tuple[float, ...]
    human: float | None = None
    reference: str = ""
