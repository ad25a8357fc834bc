"""How fast a model's training steps are, compared with this machine's limit; and a trace of some.

It works on a copy of the state after training, so the result does not change.
"""

import json
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab import files
from mlplab.runs import layout
from mlplab.training import limit
from mlplab.training.devices import Sharding
from mlplab.training.engine import placed, steps_in
from mlplab.training.plan import Plan
from mlplab.training.steps import CompiledSteps, State, batches, take_state

CHUNKS = 7  # timed, each as long as those of training
TRACED = 10  # steps: a few hundred kilobytes
TRACE = "perfetto_trace.json.gz"


def profile(model: keras.Model, plan: Plan, folder: Path) -> dict[str, Any]:
    """Time and trace warm training steps, and write the results.

    ``folder`` gets ``table.json``; ``perfetto_trace.json.gz``, which ui.perfetto.dev and
    chrome://tracing open; and ``plugins/profile/``, which TensorBoard opens if its plugin
    ``xprof`` is installed.

    Args:
        model: as :func:`~mlplab.training.engine.fit` left it.
        plan: of that training.
        folder: created here.

    Returns:
        The content of ``table.json``: ``batch_size`` [images], ``step_seconds``, its median, lowest
        and highest over chunks of steps; ``limit``, a :class:`~mlplab.training.limit.Limit`;
        ``ratio``, the median over the limit's; ``left_out``, layers with products that the limit
        does not count; ``traced_steps``; ``seconds`` taken by profiling.

    Raises:
        StorageError: if the folder cannot be written.
    """
    begun = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    steps = _Steps(model, plan)
    times = steps.timed()
    steps.trace(folder)
    least = limit.of_model(model, steps.batch_size)
    middle = statistics.median(times)
    table = {
        "batch_size": steps.batch_size,
        "step_seconds": {"median": middle, "lowest": min(times), "highest": max(times)},
        "limit": least.to_json(),
        "ratio": middle / least.seconds,
        "left_out": _left_out(model),
        "traced_steps": steps.traced,
        "seconds": time.perf_counter() - begun,
    }
    files.write_text(folder / layout.PROFILE_TABLE, json.dumps(table, indent=1) + "\n")
    return table


class _Steps:
    """Steps like those of the training, on a copy of its state."""

    def __init__(self, model: keras.Model, plan: Plan) -> None:
        devices = plan.control.devices
        sharding = Sharding(devices) if len(devices) > 1 else None
        data = (plan if sharding is None else placed(plan, sharding)).data
        self.train = data.train
        self.compiled = CompiledSteps(
            model,
            "train",
            data.class_weights,
            data.augment,
            sharding,
            data.teacher,
            plan.schedule.worth_cpp,
        )
        state = take_state(model, "train")
        self.state: State = tuple([jnp.copy(array) for array in group] for group in state)
        order = (
            np.random.default_rng(plan.schedule.seed).permutation(len(data.train)).astype(np.int32)
        )
        self.order: NDArray[np.int32] = batches(order, plan.schedule.batch_size)[0]
        self.batch_size = self.order.shape[1]
        self.traced = min(TRACED, len(self.order))

    def run(self, steps: int) -> float:
        """Run the first steps of an epoch; return their seconds."""
        begun = time.perf_counter()
        self.state, logs = self.compiled.run(self.state, self.train, self.order, 0, steps)
        float(logs["loss"])  # as the engine does: waits for the last step
        return time.perf_counter() - begun

    def timed(self) -> list[float]:
        """Return the seconds per step in each of several chunks, all warm."""
        self.run(1)  # compiles
        pace = self.run(1)
        steps = min(len(self.order), steps_in(pace))
        self.run(steps)
        return [self.run(steps) / steps for _ in range(CHUNKS)]

    def trace(self, folder: Path) -> None:
        """Write a trace of some steps, without Python's own calls."""
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0
        with files.storage(str(folder)):
            jax.profiler.start_trace(folder, create_perfetto_trace=True, profiler_options=options)
            try:
                with jax.profiler.TraceAnnotation(f"{self.traced} training steps"):
                    self.run(self.traced)
            finally:
                jax.profiler.stop_trace()  # type: ignore[no-untyped-call]
            for path in folder.glob(f"plugins/profile/*/{TRACE}"):
                path.replace(folder / TRACE)


def _left_out(model: keras.Model) -> list[str]:
    """Return the names of layers with matrices whose products the limit does not count."""
    layers = model._flatten_layers(include_self=False, recursive=True)
    return [
        layer.name
        for layer in layers
        if not layer._layers
        and not limit.counts(layer)
        and any(len(weight.shape) > 1 for weight in layer.trainable_weights)
    ]
