"""The process of one job: ``python -m mlplab.ui.job FILE`` runs the command that the file names.

The command is run as ``python -m mlplab`` would. As long as the process lives, it holds the lock
beside the file, so that any server sees that it does.
"""

import contextlib
import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from mlplab import files
from mlplab.errors import MlplabError
from mlplab.runs import lock


def main(path: Path) -> None:
    """Run the job of a file, and write its exit code there."""
    with FileLock(path.with_suffix(".lock"), is_singleton=False):
        with _changing(path):
            job = json.loads(path.read_text("utf-8"))
            if job["pid"] is not None or job["stopped"]:  # another server has started it as well
                return
            _take_interrupts([path.parents[1] / run for run in job["runs"]])
            _add(path, pid=os.getpid())
        sys.argv = ["mlplab", *job["words"]]
        code = 1
        try:
            runpy.run_module("mlplab", run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except KeyboardInterrupt:
            code = 130
        finally:
            sys.stdout.flush()
            # Where the file cannot be written, what the command has said of that is enough.
            with contextlib.suppress(OSError, ValueError, MlplabError), _changing(path):
                _add(path, code=code, ended=time.time())


def _take_interrupts(folders: list[Path]) -> None:
    """Let Ctrl-C, by which jobs are stopped, end a command that has not begun to write its run.

    It would otherwise fall into an import, whose library may take it for an error of its own.
    Afterwards it is what it is anywhere.
    """

    def interrupted(number: int, frame: Any) -> None:
        if folders and not any(map(lock.is_own, folders)):
            os._exit(130)
        raise KeyboardInterrupt

    # What is started in the background ignores Ctrl-C.
    signal.signal(signal.SIGINT, interrupted)
    if hasattr(signal, "SIGBREAK"):
        signal.signal(signal.SIGBREAK, interrupted)


def _changing(path: Path) -> FileLock:
    """Return the lock under which the files of a queue are changed."""
    return FileLock(path.with_name(".changing"), is_singleton=False)


def _add(path: Path, **facts: Any) -> None:
    job = json.loads(path.read_text("utf-8"))
    files.write_text(path, json.dumps(job | facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
