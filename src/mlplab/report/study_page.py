"""A study's folder as one self-contained HTML page; its charts work without a network."""

import base64
import hashlib
import json
import math
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mlplab import files
from mlplab.report import comparison_tables, formatting
from mlplab.report.charts import charts
from mlplab.report.page import environment
from mlplab.report.study import (
    TRIAL_HEADINGS,
    Results,
    load,
    point_text,
    time_to_target,
    trial_rows,
)
from mlplab.runs import layout

WORDS = ("at", "outcome", "reason", "key", "trial")


def write_study_page(folder: Path) -> Path:
    """Write ``report.html`` into a study's folder and return its path.

    Raises:
        RunError: if the study has no facts yet, or damaged ones.
        StorageError: if the page cannot be written.
    """
    path = folder / layout.REPORT
    files.write_text(path, study_page(load(folder)))
    return path


def study_page(results: Results) -> str:
    """Return the page of a study as HTML."""
    facts = results.facts
    drawn = charts(results)
    code = [_own("uplot/uPlot.iife.min.js"), _own("study.js")] if drawn else []
    found = results.comparison
    final_headings, final_rows = comparison_tables.rows(found) if found else ([], [])
    return (
        environment()
        .get_template("study.html.j2")
        .render(
            facts=facts,
            study=facts["study"],
            missing=results.missing,
            how=how(results),
            comparison=found,
            opened=results.opened,
            final_headings=final_headings,
            final_rows=final_rows,
            verdicts=[comparison_tables.verdict(found, pairing) for pairing in found.pairings]
            if found
            else [],
            charts=drawn,
            charts_json=_json(drawn),
            scripts=[Markup(script) for script in code],
            script_hashes=" ".join(map(_hash, code)) or "'none'",
            uplot_css=Markup(_own("uplot/uPlot.min.css")),
            target_rows=target_rows(results),
            importance_rows=importance_rows(results),
            variant_headings=TRIAL_HEADINGS,
            variant_rows=trial_rows(results),
            trial_rows=_all_trials(results),
            definition=files.text(results.folder / layout.STUDY, 2**20),
            words=WORDS,
        )
    )


def _own(name: str) -> str:
    return resources.files("mlplab.report").joinpath(name).read_text("utf-8")


def _hash(script: str) -> str:
    """Return the policy entry that lets only the page's own scripts run."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json(value: Any) -> Markup:
    # Nothing is escaped within a script, so no tag may start in it.
    return Markup(json.dumps(value).replace("<", "\\u003c"))


def how(results: Results) -> dict[str, str]:
    """Return in words how a study was made."""
    study, variants = results.facts["study"], results.variants
    design = study["design"]
    trials = sum(variant.facts["total"] for variant in variants)
    bases = [own.get("base", study["base"]) for own in study.get("variants", {}).values()]
    return {
        "base recipe": ", ".join(dict.fromkeys(bases or [study["base"]])),
        "otherwise": _settings(study.get("recipe", {})),
        "search": f"{design['kind']}, {trials} trials in {len(variants)} variants",
        "runs of a trial": str(design["replicates"]),
        "pruner": design["pruner"],
        "final runs of a variant": str(design["finals"]),
        "chosen by": f"validation {study['metric']}",
        "device": str(results.facts["device"].get("name") or results.facts["device"].get("kind")),
    }


def _settings(recipe: dict[str, Any], prefix: str = "") -> str:
    parts = []
    for key, value in recipe.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            parts.append(_settings(value, f"{name}."))
        else:
            parts.append(f"{name}={value}".replace(", ", ","))
    return " ".join(parts) or "as it is"


def target_rows(results: Results) -> list[list[str]]:
    """Return one row per variant with its time to the target, the fastest first."""
    target = results.facts["study"].get("target")
    if target is None:
        return []
    found = [
        (variant, *time_to_target(variant.finals, target))
        for variant in results.variants
        if variant.finals
    ]
    return [
        [variant.name, _number(epochs), _number(seconds), f"{reached} of {len(variant.finals)}"]
        for variant, epochs, seconds, reached in sorted(found, key=lambda row: (row[1], row[2]))
    ]


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "∞"


def importance_rows(results: Results) -> list[list[str]]:
    """Return one row per key of each variant, the most important first."""
    return [
        [variant.name, key, f"{100 * share:.0f} %"]
        for variant in results.variants
        for key, share in sorted(variant.facts["importances"].items(), key=lambda item: -item[1])
    ]


def _all_trials(results: Results) -> list[list[str]]:
    accuracy = results.facts["study"]["metric"] == "accuracy"
    return [
        [
            f"{variant.name}-t{trial['number']:02d}",
            "–" if trial["value"] is None else formatting.figure(trial["value"], accuracy),
            str(trial["outcome"]),
            point_text(trial["point"]),
            trial["reason"] or "",
        ]
        for variant in results.variants
        for trial in variant.facts["trials"]
    ]
