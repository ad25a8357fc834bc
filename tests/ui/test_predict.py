"""The process that answers for networks, as the server sees it."""

import asyncio
from typing import Any

import pytest

from mlplab.errors import MlplabError
from mlplab.runs.run import Run
from mlplab.ui.predict import Warm


def test_it_answers_in_turn_and_ends_when_idle(finished: Run) -> None:
    folder, index = str(finished.folder), int(finished.predictions("test")["index"][0])

    async def ask() -> None:
        warm = Warm(None, idle=0.0)
        questions: list[dict[str, Any]] = [
            {"do": "predict", "run": folder, "split": "test", "index": index},
            {"do": "activations", "run": folder, "split": "test", "index": index},
        ]
        one, other = await asyncio.gather(*(warm.ask(**question) for question in questions))
        assert one["picture"] == other["picture"]
        assert [layer["name"] for layer in other["layers"]] == [
            "scaling", "flatten", "dense_1", "output",
        ]  # fmt: skip
        with pytest.raises(MlplabError, match="no such question"):
            await warm.ask(do="nothing")
        with pytest.raises(MlplabError, match="no image"):
            await warm.ask(do="predict", run=folder, split="test", index=10**9)
        process = warm._process
        assert process is not None
        await asyncio.sleep(0.01)
        warm.end_if_idle()
        assert await process.wait() != 0
        again = await warm.ask(do="predict", run=folder, split="test", index=index)
        assert again["picture"] == one["picture"]
        await warm.close()

    asyncio.run(ask())
