"""The process that answers for networks and images: ``python -m mlplab.ui.worker``.

It reads a question in JSON from each line of standard input, and writes the answer in a line of
standard output. It is the only part of :mod:`mlplab.ui` that loads Keras and JAX.
"""

import base64
import io
import json
import os
import sys
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlplab import data, recipes
from mlplab.data.images import read_image
from mlplab.data.info import describe
from mlplab.errors import MlplabError, RunError, UserError, first_line
from mlplab.evaluation import evaluate as evaluation
from mlplab.evaluation.saliency import explainer
from mlplab.experiment.complete import complete
from mlplab.experiment.isolation import isolated
from mlplab.experiment.layers import outline
from mlplab.experiment.networks import load_network
from mlplab.experiment.split import data_of, published_split
from mlplab.figures import tiles
from mlplab.models import outline as network_of
from mlplab.models.flops import flops_per_example
from mlplab.plain import program
from mlplab.plain.facts import Facts
from mlplab.recipes.networks import CustomModel
from mlplab.runs.run import Run

KEPT = 4  # runs and data sets in memory
SAMPLES = 24  # pictures of a data set
LARGEST_SHOWN = 160  # side in pixels of a picture of a data set
MAPS = 64  # channels of a layer that are drawn

Answer = dict[str, Any]
Thing = TypeVar("Thing")


class Known:
    """A trained run, loaded."""

    def __init__(self, folder: Path, data_dir: Path | None) -> None:
        self.run = Run(folder)
        self.data_dir = data_dir
        self.record = self.run.record
        self.model = load_network(self.run)

    @cached_property
    def explain(self) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
        """What measures how much a prediction depends on each pixel."""
        return explainer(self.model)

    @cached_property
    def dataset(self) -> data.Dataset:
        """The images that the run was trained on."""
        return data_of(self.run, self.data_dir, None, lambda text: None)

    def picture(self, split: str, index: int) -> NDArray[np.uint8]:
        """Return an image by its position in a published split.

        Raises:
            RunError: if there is none.
        """
        if split == "cifar10.1":
            source = data.load_second("cifar10.1", self.dataset, self.data_dir).test
        else:
            source = published_split(self.dataset, self.record, split)
        places = np.flatnonzero(source.index == index)
        if not len(places):
            raise RunError(f"there is no image {index} in the split {split}")
        found: NDArray[np.uint8] = source.images[places[0]]
        return found

    def given(self, question: Answer) -> NDArray[np.uint8]:
        """Return the image that a question is about: a file, or one of a split."""
        if "path" in question:
            height, width, channels = self.record.image_shape
            return read_image(
                Path(question["path"]), (height, width, channels), self.run.recipe.data.fit
            )
        return self.picture(question["split"], question["index"])


class Worker:
    """Answers questions.

    Args:
        data_dir: folder that contains the data sets' folders.
    """

    def __init__(self, data_dir: Path | None) -> None:
        self.data_dir = data_dir
        self._runs: OrderedDict[Any, Known] = OrderedDict()
        self._sets: OrderedDict[str, data.Dataset] = OrderedDict()

    def answer(self, question: Answer) -> Answer:
        """Return the answer to a question; ``error`` if there is none."""
        ask = getattr(self, f"on_{question.get('do')}", None)
        if ask is None:
            return {"error": "there is no such question"}
        try:
            with isolated():
                found: Answer = ask(question)
            return found
        except MlplabError as error:
            return {"error": str(error)}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {first_line(error)}"}

    def on_images(self, question: Answer) -> Answer:
        """Describe a data set and show some of its images."""
        dataset = self._dataset(question["data"])
        order = np.random.default_rng(0).permutation(len(dataset.train))[:SAMPLES]
        chosen = dataset.train.take(order)
        facts = describe(dataset)
        facts["samples"] = [
            {"class": dataset.class_names[label], "picture": _png(image)}
            for image, label in zip(chosen.images, chosen.labels, strict=True)
        ]
        return facts

    def on_network(self, question: Answer) -> Answer:
        """Return the layers of a recipe's network, its costs, and a program of plain Keras."""
        recipe = recipes.validate(question["recipe"])
        if isinstance(recipe.model, CustomModel):  # whose class only --trust loads
            raise UserError("a network of your own is trained from the command line")
        dataset = self._dataset(question["recipe"].get("data", {}))
        recipe = complete(recipe)
        assert not isinstance(recipe.model, CustomModel)
        shape = tuple(dataset.train.images.shape[1:])
        model = network_of(recipe.model, shape, len(dataset.class_names))
        facts: Answer = {
            "layers": outline(model),
            "input": list(shape),
            "parameters": model.count_params(),
            "flops": flops_per_example(model),
            "images": len(dataset.train),
        }
        if recipe.data.path is not None:  # the program of a run also names the images' folders
            facts["no_program"] = "Once it is trained: mlplab export RUN --format keras"
            return facts
        try:
            names = tuple(dataset.class_names)
            facts["program"] = program.program(Facts(question["name"], recipe, shape, names))
        except MlplabError as error:
            facts["no_program"] = str(error)
        return facts

    def on_pictures(self, question: Answer) -> Answer:
        """Return images of a run's data set."""
        known = self._run(question)
        return {
            "pictures": [_png(known.picture(question["split"], i)) for i in question["indices"]]
        }

    def on_predict(self, question: Answer) -> Answer:
        """Return a prediction, and which pixels it depends on."""
        known = self._run(question)
        image = known.given(question)
        (found,) = evaluation.probabilities(known.model, image[None])
        order = np.argsort(-found, kind="stable")[: question.get("top", 10)]
        answer: Answer = {
            "classes": [known.record.class_names[i] for i in order],
            "probabilities": [float(found[i]) for i in order],
            "picture": _png(image),
        }
        try:
            weight = known.explain(image)
            answer["saliency"] = _png(tiles.heat(weight))
        except RunError as error:
            answer["no_saliency"] = str(error)
        return answer

    def on_activations(self, question: Answer) -> Answer:
        """Return what each layer makes of an image, as small pictures."""
        import keras

        known = self._run(question)
        image = known.given(question)
        layers = [
            layer
            for layer in known.model.layers
            if not isinstance(layer, keras.layers.InputLayer | keras.layers.Dropout)
            and hasattr(layer, "output")
        ]
        inner = keras.Model(known.model.inputs, [layer.output for layer in layers])
        outputs = inner(image[None], training=False)
        return {
            "picture": _png(image),
            "layers": [
                {
                    "name": layer.name,
                    "picture": _png(tiles.of_activations(np.asarray(output)[0], MAPS)),
                }
                for layer, output in zip(layers, outputs, strict=True)
            ],
        }

    def _run(self, question: Answer) -> Known:
        folder = Path(question["run"])
        key = (str(folder), (folder / "model.keras").stat().st_mtime_ns)
        if key not in self._runs:
            self._runs[key] = Known(folder, self.data_dir)
        return _kept(self._runs, key)

    def _dataset(self, tables: Answer) -> data.Dataset:
        wanted = ("name", "path", "image_size", "channels", "classes", "test")
        chosen = {key: value for key, value in tables.items() if key in wanted}
        key = json.dumps(chosen, sort_keys=True)
        if key not in self._sets:
            settings = recipes.validate({"data": chosen}).data
            self._sets[key] = data.load(settings, self.data_dir, lambda text: None)
        return _kept(self._sets, key)


def _kept(known: OrderedDict[Any, Thing], key: Any) -> Thing:
    known.move_to_end(key)
    while len(known) > KEPT:
        known.popitem(last=False)
    return known[key]


def _png(image: NDArray[np.uint8]) -> str:
    """Return an image as the base64 of a PNG."""
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    if max(picture.size) > LARGEST_SHOWN:
        picture.thumbnail((LARGEST_SHOWN, LARGEST_SHOWN))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def main(data_dir: Path | None) -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not stand among the answers
    worker = Worker(data_dir)
    for line in sys.stdin:
        answers.write(json.dumps(worker.answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
