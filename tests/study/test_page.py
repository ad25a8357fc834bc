"""The page of a study, in a real browser, and its rows in a real TensorBoard."""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlplab import files
from mlplab.report import study as results
from mlplab.report.charts import charts
from mlplab.report.study_page import importance_rows, target_rows, write_study_page
from mlplab.runs import store
from mlplab.runs.record import Record, Seconds
from mlplab.tensorboard import hparams

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
ACCURACY = {"slow": 0.62, "fast": 0.55, "poor": 0.40}
SEEDS = range(1, 6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder with made-up results: slow is better than fast, poor misses the target."""
    folder = tmp_path_factory.mktemp("runs") / "made"
    folder.mkdir()
    (folder / "study.toml").write_text(f"# {HOSTILE}\nbase = 'quickstart'\n")
    variants = {name: variant(name, accuracy) for name, accuracy in ACCURACY.items()}
    variants["slow"]["trials"][0] |= {"value": None, "outcome": "failed", "reason": HOSTILE}
    variants["poor"]["importances"] = {"optimizer.learning_rate": 0.8, "optimizer.momentum": 0.2}
    facts = {
        "schema": 1,
        "name": "made",
        "command": f"mlplab study made {HOSTILE}",
        "status": "finished",
        "study": {
            "title": f"Which? {HOSTILE}",
            "base": "quickstart",
            "metric": "accuracy",
            "target": 0.5,
            "recipe": {"training": {"epochs": 4}},
            "design": {"kind": "random", "replicates": 1, "pruner": "none", "finals": 5},
        },
        "variants": variants,
        "final_failures": {},
        "device": {"name": HOSTILE},
        "versions": {"mlplab": "0"},
        "written": "2026-01-01T00:00:00+00:00",
    }
    (folder / "study.json").write_text(json.dumps(facts))
    random = np.random.default_rng(0)
    for name, accuracy in ACCURACY.items():
        for seed in SEEDS:
            final(folder / "finals", name, seed, accuracy + random.normal(0, 0.004))
        for trial in variants[name]["trials"]:
            run = make(folder / "trials", trial["runs"][0], name, 0, trial["value"] or 0.1)
            assert run.exists()
    return folder


def variant(name: str, accuracy: float) -> dict[str, Any]:
    trials = [
        {
            "number": number,
            "point": {"optimizer.learning_rate": 10.0 ** (number - 4)},
            "value": accuracy - 0.02 * abs(number - 2),
            "outcome": "finished",
            "reason": None,
            "attempts": 1,
            "runs": [f"{name}-t{number:02d}-s0"],
        }
        for number in range(4)
    ]
    return {"trials": trials, "total": 4, "best": 2, "importances": {}}


def make(runs: Path, name: str, group: str, seed: int, accuracy: float) -> Path:
    folder = store.create(runs, name)
    metrics = {"n": 1000, "accuracy": accuracy, "loss": 1.0, "balanced_accuracy": accuracy}
    record = Record(
        name=name,
        group=group,
        recipe="quickstart",
        config_id=group,
        seed=seed,
        data_id="sha256:0",
        status="finished",
        epochs=4,
        seconds=Seconds(train=9.0 if group == "slow" else 2.0),
        metrics={"train": {"n": 100}, "validation": metrics, "test": metrics},
    )
    store.write_record(folder, record)
    rows = [
        {"epoch": e, "val_accuracy": accuracy * (1 - 0.3**e), "val_loss": 1.0 / e, "seconds": 0.5}
        for e in range(1, 5)
    ]
    files.write_lines(folder / "metrics.jsonl", rows)
    return folder


def final(runs: Path, group: str, seed: int, accuracy: float) -> None:
    make(runs, f"{group}-s{seed}", group, seed, round(accuracy, 3))


def test_variants_are_compared_with_the_best_on_validation(folder: Path) -> None:
    found = results.load(folder)
    assert found.comparison is not None
    assert found.comparison.reference == "slow"
    assert [pairing.first for pairing in found.comparison.pairings] == ["fast", "poor"]
    assert all(
        pairing.verdict.startswith("slow is better") for pairing in found.comparison.pairings
    )
    fronts = {entry.name: entry.on_front for entry in found.comparison.entries}
    assert fronts == {"slow": True, "fast": True, "poor": False}


def test_a_study_whose_variants_were_called_levels_is_shown_as_well(
    folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "made"))
    old = (copy / "study.json").read_text().replace('"variants":', '"levels":')
    (copy / "study.json").write_text(old)
    assert results.load(copy).comparison == results.load(folder).comparison


def test_a_target_that_is_missed_is_infinitely_far(folder: Path) -> None:
    rows = target_rows(results.load(folder))
    assert rows == [
        ["slow", "2", "1", "5 of 5"],
        ["fast", "2", "1", "5 of 5"],
        ["poor", "∞", "∞", "0 of 5"],
    ]


def test_the_charts_hold_what_was_measured(folder: Path) -> None:
    found = {chart["id"]: chart for chart in charts(results.load(folder))}
    assert list(found) == ["curves", "sensitivity", "best", "pareto"]
    slow = found["sensitivity"]["series"][0]
    assert slow["x"] == pytest.approx([1e-3, 1e-2, 1e-1])  # the failed trial has no point
    assert found["best"]["series"][1]["y"] == sorted(found["best"]["series"][1]["y"])
    curve = found["curves"]["series"][0]
    assert curve["x"] == [1, 2, 3, 4]
    assert all(a <= b <= c for a, b, c in zip(curve["low"], curve["y"], curve["high"], strict=True))
    assert importance_rows(results.load(folder))[0] == ["poor", "optimizer.learning_rate", "80 %"]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: the page is not opened")
def test_the_page_draws_hovers_and_switches_without_a_network(folder: Path) -> None:
    from playwright.sync_api import sync_playwright

    path = write_study_page(folder)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        messages: list[str] = []
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        curves = page.locator('[data-chart="curves"]')
        assert page.locator("canvas").count() == 4
        assert "owned" not in page.title().replace(HOSTILE, "")
        # Hovering shows values.
        value = curves.locator(".u-series:not(.band)").nth(1).locator(".u-value")
        assert value.inner_text() == "–"
        curves.locator(".u-over").hover()
        assert value.inner_text().endswith("%")
        # A name in the legend switches its curve, its band too, and can be reached by keyboard.
        name = curves.locator(".u-series:not(.band)").nth(1).locator("th")
        name.focus()
        page.keyboard.press("Enter")
        assert curves.locator(".u-series.u-off").count() == 3
        page.keyboard.press("Enter")
        assert curves.locator(".u-series.u-off").count() == 0
        assert page.evaluate("document.title").startswith("made")
        assert page.locator("img").count() == 0
        browser.close()
    assert messages == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    hparams.write_study(folder, json.loads((folder / "study.json").read_text()))
    command = [sys.executable, "-m", "mlplab", "tensorboard", "--port", "0"]
    command += ["--runs-dir", str(folder.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def test_tensorboard_has_a_row_for_each_trial_and_groups_replicates(server: str) -> None:
    body = {"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS"], "colParams": [],
            "startIndex": 0, "sliceSize": 100}  # fmt: skip
    request = urllib.request.Request(
        f"{server}data/plugin/hparams/session_groups",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        groups = json.load(answer)["sessionGroups"]
    sessions = {group["name"]: len(group["sessions"]) for group in groups}
    assert sessions == {
        **{f"made/{name}-t{number:02d}": 1 for name in ACCURACY for number in range(4)},
        **{f"made/{name}-final": 5 for name in ACCURACY},
    }
    slow = next(group for group in groups if group["name"] == "made/slow-final")
    assert slow["hparams"]["variant"] == "slow"
    values = {m["name"]["tag"]: m["value"] for m in slow["metricValues"]}
    assert values["validation/accuracy"] == pytest.approx(0.62, abs=0.01)
    assert not any("test" in tag for tag in values)
