"""A pytest plugin: Keras's tests with ``Model.fit`` replaced by ``mlplab.fit``.

With ``MLPLAB_KERAS_TESTS=keras``, ``fit`` stays Keras's own; either way it is written down which
tests call it, and which of them mlplab's compiled steps serve.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest

from mlplab.drop_in import fit as drop_in

# Where ``keras.Model`` has it from; Keras's own tests also train layers that are no ``Model``.
TRAINER = next(kind for kind in keras.Model.__mro__ if "fit" in vars(kind))
PLAIN = TRAINER.fit
OURS = os.environ["MLPLAB_KERAS_TESTS"] == "mlplab"
OUT = Path(os.environ["MLPLAB_KERAS_TESTS_OUT"])
ONLY = os.environ.get("MLPLAB_KERAS_TESTS_ONLY")  # the outcomes with plain Keras

calls: list[str] = []
_inside = False


def _replacing(self: keras.Model, *given: Any, **named: Any) -> Any:
    global _inside
    if _inside or not OURS:
        if not _inside:
            calls.append("keras")
        return PLAIN(self, *given, **named)
    _inside = True
    try:
        calls.append("mlplab")
        return drop_in.fit(self, *given, **named)
    finally:
        _inside = False


def _falling_back(text: str) -> None:
    if text.startswith("Keras's own steps"):
        calls.append(f"fell back: {text}")


TRAINER.fit = _replacing
drop_in._note = _falling_back


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what does not call ``fit`` with plain Keras."""
    if ONLY:
        lines = [json.loads(line) for line in Path(ONLY).read_text().splitlines()]
        wanted = {line["test"] for line in lines if line["calls"]}
        items[:] = [item for item in items if _name(item) in wanted]


def _name(item: pytest.Item) -> str:
    return item.nodeid.partition("keras/src/")[2] or item.nodeid


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    """Write down a test's outcome and its calls of ``fit``."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.when == "call" or report.outcome != "passed":
        line = {
            "test": _name(item),
            "outcome": report.outcome,
            "calls": list(calls),
            "error": str(call.excinfo.value)[:300] if call.excinfo else "",
        }
        with OUT.open("a") as file:
            file.write(json.dumps(line) + "\n")
    if report.when == "teardown":
        calls.clear()
