"""The warm worker, seen from the server: questions to it, one after another."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from mlplab.errors import MlplabError, UserError

IDLE = 300.0  # seconds after which the process ends
LONGEST = 2**26  # bytes of an answer
PATIENCE = 180.0  # seconds for an answer; loading Keras, and decoding a data set, is part of it


class Warm:
    """A process that is started at the first question, and ends when it has not been asked.

    Args:
        data_dir: folder that contains the data sets' folders.
        idle: seconds without a question after which it ends.
    """

    def __init__(self, data_dir: Path | None, idle: float = IDLE) -> None:
        self.data_dir = data_dir
        self.idle = idle
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._asked = 0.0

    async def ask(self, **question: Any) -> dict[str, Any]:
        """Return the answer to a question.

        Raises:
            UserError: if there is none, with the reason.
        """
        async with self._turn:
            process = await self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(question).encode() + b"\n")
                await process.stdin.drain()
                line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
            except (OSError, TimeoutError, ValueError, asyncio.CancelledError):
                self._end()  # an answer that comes late would be taken for the next one's
                raise
            finally:
                self._asked = asyncio.get_running_loop().time()
        if not line:
            self._end()
            raise UserError("the process that computes predictions has ended; try again")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise MlplabError(answer["error"])
        return answer

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            given = [str(self.data_dir)] if self.data_dir is not None else []
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "mlplab.ui.worker", *given),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=LONGEST,
                start_new_session=True,
            )
        return self._process

    def end_if_idle(self) -> None:
        """End the process if it was not asked for a while; called now and then."""
        now = asyncio.get_running_loop().time()
        if not self._turn.locked() and now - self._asked > self.idle:
            self._end()

    def _end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        self._process = None

    async def close(self) -> None:
        """End the process, and wait until it has."""
        process = self._process
        self._end()
        if process is not None:
            await process.wait()
