"""What a file of claims registers for a study, without its words: windows, contrasts, δ, gates, controls, seeds, level.

Titles, statements, notes, causes and deviations are words; ``alternatives`` never enter a verdict. So a file can be
reworded after the runs and still registers the same.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from hf_clipdyn.results.provenance import Provenance, package
from hf_clipdyn.results.read import Results
from hf_clipdyn.statistics.claims import Claims, ClaimTest
from hf_clipdyn.statistics.evidence import Evidence

__all__ = ["provenance", "registered_hash"]

_WORDS = ("title", "statement", "notes", "cause", "deviations", "alternatives")


def registered_hash(claims: Claims, study: str) -> str:
    """SHA-256 of what the claims register for a study, 64 hexadecimal digits; empty if they have no such study."""
    if study not in claims.studies:
        return ""
    plan = claims.studies[study]
    content = {
        "level": float(claims.level),
        "tuning_seeds": _plain(plan.tuning_seeds),
        "confirmatory_seeds": _plain(plan.confirmatory_seeds),
        "claims": {
            str(one.number): _registered(claims, study, one.test(study))
            for one in claims.claims
            if one.test(study).testable
        },
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def provenance(results: Results, evidence: Evidence | None) -> Provenance:
    """Of a table that is written now from these results, and judged with this evidence."""
    if evidence is None:
        return Provenance(package=package(), runs=results.origins)
    return Provenance(
        package=package(),
        study=evidence.study,
        claims=registered_hash(evidence.claims, evidence.study),
        runs=results.origins,
    )


def _registered(claims: Claims, study: str, test: ClaimTest) -> dict[str, Any]:
    """A test with the windows that it uses, wherever the file defines them."""
    used = {name for one in test.contrasts for name in one.weights}
    used |= {name for gate in test.gates for name in gate.windows}
    windows = claims.windows_of(study, test)
    return {
        **_plain(test),
        "windows": {name: _plain(windows[name]) for name in used},
        "located": sorted(name for name in used if claims.is_located(study, name, test)),
    }


def _plain(value: Any) -> Any:
    """As JSON, without words; a default is left out, so that a field that is added later changes no hash."""
    if is_dataclass(value):
        return {
            one.name: _plain(held)
            for one in fields(value)
            if one.name not in _WORDS
            and ((held := getattr(value, one.name)) != one.default or one.default is MISSING)
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(held) for held in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
