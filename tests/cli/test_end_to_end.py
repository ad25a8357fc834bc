"""A run as a user sees it: trained by the command, shown by TensorBoard and in a browser."""

import json
import shutil
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MLPLAB = [sys.executable, "-m", "mlplab"]
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("end-to-end") / "runs"
    command = [
        *MLPLAB,
        "train",
        "quickstart",
        "training.epochs=2",
        "model.hidden=[32]",
        "--runs-dir",
        str(folder),
    ]
    subprocess.run([*command, "--seeds", "0..1", "--quiet"], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def server(runs_dir: Path) -> Iterator[str]:
    command = [*MLPLAB, "tensorboard", "--runs-dir", str(runs_dir), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0


def ask(server: str, path: str, body: Any = None, **query: str) -> Any:
    url = f"{server}data/plugin/{path}?{urllib.parse.urlencode(query)}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


@pytest.mark.torture
def test_tensorboard_shows_scalars_histograms_and_images_of_a_run(
    server: str, runs_dir: Path
) -> None:
    name = next(path.name for path in runs_dir.iterdir() if path.name.endswith("-s0"))
    train, validation = f"{name}/tensorboard/train", f"{name}/tensorboard/validation"
    scalars = ask(server, "scalars/scalars", run=validation, tag="epoch_accuracy")
    history = [json.loads(line) for line in (runs_dir / name / "metrics.jsonl").open()]
    assert [row[2] for row in scalars] == pytest.approx([row["val_accuracy"] for row in history])
    histograms = ask(server, "histograms/tags")
    assert {"dense_1/kernel/histogram", "dense_1/kernel/gradient"} <= set(histograms[train])
    assert "samples" in ask(server, "images/tags")[train]


@pytest.mark.torture
def test_tensorboard_groups_replicates_by_their_configuration(server: str) -> None:
    body = {"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS"], "colParams": [],
            "startIndex": 0, "sliceSize": 10}  # fmt: skip
    groups = ask(server, "hparams/session_groups", body)["sessionGroups"]
    assert [len(group["sessions"]) for group in groups] == [2]
    metrics = {metric["name"]["tag"] for metric in groups[0]["metricValues"]}
    assert "validation/accuracy" in metrics
    assert not any("test" in tag for tag in metrics)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium: the report is not opened")
def test_the_report_of_a_run_opens_without_errors_or_requests(runs_dir: Path) -> None:
    from playwright.sync_api import sync_playwright

    page_file = next(runs_dir.glob("*-s0/report.html"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        page = browser.new_page()
        messages: list[str] = []
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(page_file.as_uri())
        assert page.locator("h1").inner_text() == page_file.parent.name
        widths = page.eval_on_selector_all(
            "figure img", "images => images.map(i => i.naturalWidth)"
        )
        browser.close()
    assert len(widths) == 9
    assert all(widths)
    assert messages == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
