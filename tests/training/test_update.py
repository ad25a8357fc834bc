import os
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from jax.stages import Compiled

from mlplab.optim.optimizers import OFFERED
from mlplab.training.compilation import compiled
from mlplab.training.update import SMALL, in_one_pass

SIDE = 1024
State = tuple[list[jax.Array], list[jax.Array]]
OPTIONS = {
    keras.optimizers.SGD: {"momentum": 0.9, "nesterov": True},
    keras.optimizers.RMSprop: {"centered": True, "momentum": 0.5},
    keras.optimizers.Adam: {"amsgrad": True, "clipvalue": 0.5},
    keras.optimizers.AdamW: {"weight_decay": 0.1, "loss_scale_factor": 4.0},
}


def made(
    cls: type[keras.optimizers.Optimizer], **options: Any
) -> tuple[keras.optimizers.Optimizer, State]:
    variable = keras.Variable(np.linspace(-1, 1, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE))
    optimizer = cls(learning_rate=0.01, **options)
    optimizer.build([variable])
    return optimizer, ([variable.value], [v.value for v in optimizer.variables])


def program(optimizer: keras.optimizers.Optimizer, state: State) -> Compiled:
    def step(state: State, gradient: Any) -> State:
        weights, own = state
        return optimizer.stateless_apply(own, [gradient], weights)

    gradient = jnp.zeros((SIDE, SIDE))
    return compiled(jax.jit(step, donate_argnums=0).lower(state, gradient))


@pytest.mark.parametrize("cls", [offered.cls for offered in OFFERED if offered.elementwise])
def test_one_pass_computes_the_same(cls: type[keras.optimizers.Optimizer]) -> None:
    results = []
    for one_pass in (False, True):
        optimizer, state = made(cls, **OPTIONS.get(cls, {}))
        if one_pass:
            with in_one_pass(optimizer):
                step = program(optimizer, state)
        else:
            step = program(optimizer, state)
        for seed in range(4):
            state = step(state, np.random.default_rng(seed).standard_normal((SIDE, SIDE), "f4"))
        results.append(state)
    for plain, ours in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-6, atol=1e-7)


def test_weights_and_moments_are_written_by_one_loop() -> None:
    optimizer, state = made(keras.optimizers.Adam)
    with in_one_pass(optimizer):
        text = program(optimizer, state).as_text() or ""
    matrix = f"f32[{SIDE},{SIDE}]"
    lines = text.split("ENTRY ")[1].splitlines()
    written = [line.split(" fusion(")[0].count(matrix) for line in lines if " fusion(" in line]
    assert [count for count in written if count] == [3]


@pytest.mark.parametrize(
    "options", [{"use_ema": True}, {"clipnorm": 1.0}, {"gradient_accumulation_steps": 2}]
)
def test_an_update_with_more_than_elements_stays_as_it_is(options: Any) -> None:
    optimizer, _ = made(keras.optimizers.Adam, **options)
    with in_one_pass(optimizer):
        assert "stateless_apply" not in vars(optimizer)


def test_the_optimizer_is_its_own_again_afterwards() -> None:
    optimizer, _ = made(keras.optimizers.Adam)
    assert SIDE * SIDE >= SMALL
    with pytest.raises(ZeroDivisionError), in_one_pass(optimizer):
        assert "stateless_apply" in vars(optimizer)
        raise ZeroDivisionError
    assert "stateless_apply" not in vars(optimizer)


def test_flags_that_the_user_has_set_for_xla_are_kept() -> None:
    def flags(given: str) -> str:
        env = {**os.environ, "XLA_FLAGS": given}
        code = "import os, mlplab; print(os.environ['XLA_FLAGS'])"
        return subprocess.check_output([sys.executable, "-c", code], env=env, text=True).strip()

    ours = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion"
    assert flags("--xla_dump_to=d") == f"--xla_dump_to=d {ours}"
    assert flags("--xla_backend_extra_options=a=1") == "--xla_backend_extra_options=a=1"
