"""The process of one job: ``python -m mlplab.ui.job FILE`` runs the command that the file names.

The command is run as ``python -m mlplab`` would. As long as the process lives, it holds the lock
beside the file, so that any server sees that it does.
"""

import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path

from filelock import FileLock

from mlplab import files


def main(path: Path) -> None:
    """Run the job of a file, and write its exit code there."""
    # What is started in the background ignores Ctrl-C, by which jobs are stopped.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGBREAK"):
        signal.signal(signal.SIGBREAK, signal.default_int_handler)
    with FileLock(path.with_suffix(".lock"), is_singleton=False):
        job = json.loads(path.read_text("utf-8"))
        if job["pid"] is not None:  # another server has started it as well
            return
        files.write_text(path, json.dumps(job | {"pid": os.getpid()}))
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
            job = json.loads(path.read_text("utf-8"))
            files.write_text(path, json.dumps(job | {"code": code, "ended": time.time()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
