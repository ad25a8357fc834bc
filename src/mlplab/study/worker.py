"""A process that trains one job after another: jobs and answers are lines of JSON.

After ``{"job": …}`` it answers ``{"row": …}`` for each epoch and ``{"done": …, "stops": …}``: why
the job failed, or null, and whether others would fail too. A job that ``asks`` waits after each row
for ``{"go": true}`` or ``{"go": false}``. It ends with its input: when the study is killed, its
workers write a checkpoint of what they are training, and end.
"""

import json
import os
import queue
import signal
import threading
import time
from typing import IO, Any

# Set before JAX is imported: the cores it may use, and the number of threads.
CPUS = "MLPLAB_CPUS"

GRACE = 10.0
"""Seconds that a worker has for its checkpoint when it has to end."""

Messages = queue.Queue[dict[str, Any]]


def main() -> None:
    """Execute jobs until the input ends."""
    if cpus := os.environ.get(CPUS):
        numbers = [int(number) for number in cpus.split(",")]
        os.environ["NPROC"] = str(len(numbers))
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, numbers)
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["KERAS_NNX_ENABLED"] = "0"
    jobs, answers = _own_streams()
    messages: Messages = queue.Queue()
    threading.Thread(target=_listen, args=(jobs, messages), daemon=True).start()

    # Not before the environment is set: these load JAX.
    from mlplab.errors import MlplabError
    from mlplab.study.job import STOPPING, RowsOnly, TrialJob, carry_out

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    while True:
        job = TrialJob(**messages.get()["job"])

        def on_row(row: dict[str, float], asks: bool = job.asks) -> None:
            say({"row": row})
            if asks and not messages.get()["go"]:
                signal.raise_signal(signal.SIGINT)  # ends the training as Ctrl-C does

        reason, stops = None, False
        try:
            carry_out(job, RowsOnly(on_row))
        except MlplabError as error:
            reason, stops = str(error), isinstance(error, STOPPING)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        say({"done": reason, "stops": stops})


def _own_streams() -> tuple[IO[str], IO[str]]:
    """Return the streams of jobs and answers, which no other code can read or print between."""
    jobs, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    answers.write("\n")  # after what may have been printed so far
    with open(os.devnull) as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return jobs, answers


def _listen(jobs: IO[str], messages: Messages) -> None:
    for line in jobs:
        messages.put(json.loads(line))
    messages.put({"go": False})
    signal.raise_signal(signal.SIGTERM)  # writes a checkpoint of what is being trained
    time.sleep(GRACE)
    os._exit(1)


if __name__ == "__main__":
    main()
