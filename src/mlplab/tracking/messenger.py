"""A thread that does what may take long, in order, while training continues."""

import queue
import threading
from collections.abc import Callable

THREADS = "mlplab-tracker"
"""What the names of these threads begin with."""

Message = Callable[[], object]


class Messenger:
    """Calls functions one after the other in a thread of its own.

    After the first that fails the rest are not called.

    Args:
        name: of the thread.

    Attributes:
        error: of the function that failed, or ``None``.
    """

    def __init__(self, name: str) -> None:
        self.error: BaseException | None = None
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        # A daemon: a server that does not answer must not keep the process alive.
        self._thread = threading.Thread(target=self._work, name=f"{THREADS}-{name}", daemon=True)
        self._thread.start()

    def send(self, message: Message) -> None:
        """Have a function called after those sent before; return at once."""
        self._messages.put(message)

    def finish(self, seconds: float) -> bool:
        """Wait for the functions sent so far; return whether all have returned in time."""
        self._messages.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (message := self._messages.get()) is not None:
            if self.error is not None:
                continue
            try:
                message()
            except BaseException as error:  # a library may even raise SystemExit
                self.error = error
