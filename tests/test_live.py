"""What is shown of a training while it runs, in a real IPython shell and without one."""

import sys
from typing import Any

import pytest

from mlplab import live

ROW = {"epoch": 1, "loss": 0.5, "accuracy": 0.812, "val_accuracy": 0.8, "seconds": 0.4}


def test_without_a_notebook_an_epoch_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    shown = live.watcher(3)
    shown.on_steps(1, 1, 2, {"loss": 1.0})
    shown.on_row(ROW)
    shown.on_note("a note")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "epoch 1/3  loss 0.500  acc 81.2 %  val 80.0 %  0.4 s\na note\n"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Any:
    """IPython's shell with a kernel, as in a notebook, which remembers what is displayed."""
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    made = InteractiveShell.instance()
    made.kernel = object()
    made.display_pub = CapturingDisplayPublisher()
    yield made
    InteractiveShell.clear_instance()


def test_a_notebook_has_one_drawing_that_grows(shell: Any) -> None:
    assert live.notebook() is shell
    shown = live.watcher(2)
    shown.on_steps(1, 1, 2, {"loss": 1.0})
    shown.on_steps(1, 2, 2, {"loss": 0.9})  # at once after the first: not drawn
    shown.on_row(ROW)
    shown.on_note("<b>a note</b>")
    shown.on_row(ROW | {"epoch": 2})
    outputs = shell.display_pub.outputs
    assert len({output["transient"]["display_id"] for output in outputs}) == 1
    assert [output["update"] for output in outputs] == [False, True, True]
    last = outputs[-1]["data"]["text/html"]
    assert "<svg" in last
    assert "epoch 2/2" in last
    assert "<script" not in last
    assert "&lt;b&gt;a note" in last


def test_a_terminal_of_ipython_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert live.notebook() is None
