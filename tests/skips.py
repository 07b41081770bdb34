"""For which reasons CI may skip a test: what a machine need not have."""

import os
from typing import TypeVar

import pytest

REASONS = (
    *("Gradio", "PEFT", "TRL", "Node.js", "sentencepiece", "protobuf"),
    *("no real data", "one core", "cannot be mounted", "torch 2.6"),
)
"""A word of each."""

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def complete(report: Report) -> Report:
    """The report; with ``CLIPDYN_TESTS=complete``, as in CI, a test that is skipped for another reason has failed."""
    if os.environ.get("CLIPDYN_TESTS") != "complete" or not report.skipped or hasattr(report, "wasxfail"):
        return report
    reason = str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr)
    if not any(word in reason for word in REASONS):
        report.outcome = "failed"
        report.longrepr = f"{reason}: tests/skips.py lists for what CI may skip a test."
    return report
