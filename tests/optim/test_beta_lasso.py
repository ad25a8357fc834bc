from typing import Any

import keras
import numpy as np

from mlplab.optim.beta_lasso import BetaLasso


def stepped(optimizer: BetaLasso, values: np.ndarray, gradients: np.ndarray, steps: int = 1) -> Any:
    first = keras.Variable(values, name="first")
    bias = keras.Variable(np.ones(2, np.float32), name="bias")
    second = keras.Variable(values, name="second")
    optimizer.build([first, bias, second])
    for _ in range(steps):
        optimizer.apply([gradients, np.full(2, 0.5, np.float32), gradients])
    return [np.asarray(variable) for variable in (first, bias, second)]


def test_a_step_is_that_of_the_paper() -> None:
    values = np.array([[1.0, -1.0], [0.011, -0.3]], np.float32)
    gradients = np.array([[0.1, 0.1], [0.0, 0.2]], np.float32)
    optimizer = BetaLasso(learning_rate=0.1, l1=0.001, first_l1=0.002, beta=5)
    first, bias, second = stepped(optimizer, values, gradients)
    for found, penalty in ((first, 0.002), (second, 0.001)):
        moved = values - 0.1 * (gradients + penalty * np.sign(values))
        np.testing.assert_allclose(found, np.where(abs(moved) < 5 * penalty, 0, moved), rtol=1e-6)
    assert first[1, 0] != 0  # 0.0108 is above the threshold of 0.01
    np.testing.assert_allclose(bias, 0.95)


def test_weights_that_nothing_needs_become_zero_and_stay_so() -> None:
    values = np.full((2, 2), 0.02, np.float32)
    needed = np.array([[-1.0, 0.0], [0.0, 0.0]], np.float32)
    optimizer = BetaLasso(learning_rate=0.1, l1=0.01, beta=1)
    first, _, _ = stepped(optimizer, values, needed, steps=20)
    assert first[0, 0] > 1
    assert not first.ravel()[1:].any()


def test_its_settings_are_kept() -> None:
    optimizer = BetaLasso(l1=2e-6, first_l1=1e-5, beta=20)
    again = BetaLasso.from_config(optimizer.get_config())
    assert (again.l1, again.first_l1, again.beta) == (2e-6, 1e-5, 20)
