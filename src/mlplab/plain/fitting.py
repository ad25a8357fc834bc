"""The part of a program that trains: labels, class weights, callbacks and ``fit``."""

import inspect
from typing import Any

import keras

from mlplab.plain import augmentation
from mlplab.plain.facts import Facts
from mlplab.plain.source import Part, block, bracketed, keywords, literal
from mlplab.recipes.recipe import Recipe
from mlplab.recipes.schema import Named

OWN = ("LearningRateScheduler", "TensorBoard")

AVERAGE = '''\
class Average(keras.callbacks.Callback):
    """Puts the average of the weights in for validation, and lets it stay at the end."""

    trained = None

    def on_epoch_begin(self, epoch, logs=None):
        if self.trained is not None:
            for variable, value in zip(self.model.trainable_variables, self.trained):
                variable.assign(value)

    def on_test_begin(self, logs=None):
        variables, optimizer = self.model.trainable_variables, self.model.optimizer
        self.trained = [keras.ops.convert_to_numpy(variable) for variable in variables]
        {averages}
        for variable, average in zip(variables, averages):
            variable.assign(keras.ops.convert_to_numpy(average))'''
OF_EMA = "averages = optimizer._model_variables_moving_average"
OF_SCHEDULE_FREE = """\
beta, plain = optimizer.beta_1, optimizer._momentums
        averages = [(y - (1 - beta) * z) / beta for y, z in zip(self.trained, plain)]"""

RATE_TABLE = '''\
def rate_of_epoch(epoch, rate):
    """Return the learning rate of an epoch, counted from 0."""
    for first, value in {rows}:
        if epoch + 1 >= first:
            rate = value
    return rate'''


def fitted(facts: Facts) -> Part:
    """Return the part that trains ``model``."""
    recipe = facts.recipe
    weights = recipe.loss.class_weights
    augments = augmentation.changes_images(recipe.augment)
    mixes = recipe.augment.mixes
    callbacks = _callbacks(recipe)
    targets = "targets" if facts.one_hot else "y_train"
    validation = "keras.utils.to_categorical(y_val, CLASSES)" if facts.one_hot else "y_val"
    given = [f"Batches(x_train, {targets})"] if augments else ["x_train", targets]
    arguments = [
        *given,
        *([] if augments else ["batch_size=BATCH_SIZE"]),
        "epochs=EPOCHS",
        f"validation_data=(x_val, {validation})",
        "validation_batch_size=BATCH_SIZE" if augments else "",
        "class_weight=dict(enumerate(weights))" if weights is not None and not mixes else "",
        "callbacks=callbacks" if callbacks.code else "",
    ]
    code = block(
        "targets = keras.utils.to_categorical(y_train, CLASSES)" if facts.one_hot else "",
        _weights(weights) if weights is not None else "",
        callbacks.code,
        bracketed("history = model.fit(", filter(None, arguments)),
    )
    definitions = (
        *callbacks.definitions,
        *(augmentation.definitions(facts) if augments else ()),
    )
    imports = (*callbacks.imports, *(("import math",) if augments else ()))
    return Part(code, definitions, imports)


def _weights(given: Any) -> str:
    if given == "balanced":
        return block(
            "# All classes count the same.",
            "counts = np.bincount(y_train, minlength=CLASSES)",
            "weights = len(y_train) / (CLASSES * np.maximum(counts, 1)) * (counts > 0)",
        )
    return bracketed("weights = [", map(repr, given), "]")


def _callbacks(recipe: Recipe) -> Part:
    listed, definitions, after = [], [], []
    imports: tuple[str, ...] = ()
    averaged = {
        recipe.average is not None: OF_EMA,
        recipe.optimizer.name == "ScheduleFreeAdamW": OF_SCHEDULE_FREE,
    }.get(True)
    if averaged and not recipe.optimizer.params.get("use_ema"):
        listed.append("Average()")
        definitions.append(AVERAGE.format(averages=averaged))
    for settings in recipe.callbacks.values():
        if settings.name == "Track":
            continue
        if settings.name == "TensorBoard":
            imports = ("import importlib.util",)
            frequency = f"histogram_freq={settings.params['histogram_freq']}"
            after += [
                'if importlib.util.find_spec("tensorflow"):  # which the callback needs',
                f'    board = keras.callbacks.TensorBoard("tensorboard", {frequency})',
                "    callbacks.append(board)",
            ]
        elif settings.name == "LearningRateScheduler":
            listed.append("keras.callbacks.LearningRateScheduler(rate_of_epoch)")
            definitions.append(RATE_TABLE.format(rows=literal(settings.params["table"])))
        else:
            listed.append(_of_keras(settings))
    if not listed and not after:
        return Part()
    code = block(bracketed("callbacks = [", listed, "]"), *after)
    return Part(code, tuple(definitions), imports)


def _of_keras(settings: Named) -> str:
    known = inspect.signature(getattr(keras.callbacks, settings.name)).parameters
    changed = {
        key: value
        for key, value in settings.params.items()
        if key == "monitor" or known[key].default != value
    }
    text = bracketed(f"keras.callbacks.{settings.name}(", keywords(changed), "),", 1)
    return text.strip().removesuffix(",").replace("\n    ", "\n")
