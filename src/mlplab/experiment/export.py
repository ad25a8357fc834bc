"""Export of a trained network: a folder with its ONNX file and what a program needs to use it.

``mlplab predict`` takes such a folder instead of a run; ONNX Runtime then computes.
"""

import importlib
import importlib.util
import inspect
import json
import re
import secrets
import shutil
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from mlplab import files, memory
from mlplab.data import images
from mlplab.data.images import Fit
from mlplab.errors import MlplabError, RunError, first_line
from mlplab.experiment.isolation import isolated
from mlplab.experiment.networks import load_network
from mlplab.models import onnx
from mlplab.runs import layout, store
from mlplab.runs.record import Record
from mlplab.runs.run import Run

README = "README.md"
LARGEST_FACTS = 2**20  # bytes
SIDE = 1024  # largest side of the images of an exported network
AGREEMENT = 1e-4  # between the probabilities of Keras and of ONNX Runtime

EXPLAINED = """\
# {name}

`{network}` takes images, uint8 [n, {height}, {width}, {channels}], values from 0 to 255 (scaling
is inside), and gives probabilities, float32 [n, {classes}], of the classes that `{facts}` names, in
that order. Weights of a large network are in `{network}.data`, which belongs beside `{network}`.

```python
import json

import onnxruntime

from pictures.images import read_image

session = onnxruntime.InferenceSession("{network}")
names = json.load(open("{facts}"))["class_names"]
image = read_image("photo.jpg", ({height}, {width}, {channels}), "{fit}")
(probabilities,) = session.run(None, {{session.get_inputs()[0].name: image[None]}})
print(names[probabilities[0].argmax()])
```

It needs onnxruntime, NumPy and Pillow, but not mlplab. `pictures/` reads images of any size and
kind as mlplab does: turned as their EXIF data say, put on white where they are transparent, scaled,
made square ("{fit}"), 16 bits reduced to 8.
"""
READER = "pictures"
OURS = re.compile(r"^from (mlplab\.[\w.]+) import", re.MULTILINE)


@isolated()
def export(run: Run, folder: Path, trust: bool = False) -> Path:
    """Write the network of a run as ONNX, with its class names and an example of its use.

    If ONNX Runtime is installed, the file is tested: it has to agree with Keras to 1e-4.

    Args:
        run: the trained run.
        folder: the folder to create.
        trust: whether the user's own code may be loaded.

    Returns:
        The folder.

    Raises:
        RunError: if the run has no network, the folder exists, or ONNX cannot express the network.
        RecipeError: if jax2onnx is not installed.
        StorageError: if the folder cannot be written.
    """
    record = store.read_own_record(run.folder)
    store.check_own(run.folder, record, layout.MODEL)
    if folder.exists():
        raise RunError(f"{folder} already exists; choose another path (out)")
    model = load_network(run, trust)
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
    try:
        with files.storage(str(folder)):
            aside.mkdir(parents=True)
            _write_facts(aside, run.name, record, run.recipe.data.fit)
            try:
                onnx.export(model, aside / layout.NETWORK)
                _try(aside, model, record.image_shape)
            except (MlplabError, OSError):
                raise
            except Exception as error:  # the converter raises errors of any kind
                raise RunError(f"ONNX cannot express this network: {first_line(error)}") from None
            aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _write_facts(folder: Path, name: str, record: Record, fit: Fit) -> None:
    height, width, channels = record.image_shape
    facts = {
        "schema": 1,
        "run": name,
        "config_id": record.config_id,
        "class_names": record.class_names,
        "image_shape": record.image_shape,
        "fit": fit,
        "input": "uint8 [n, height, width, channels], 0 to 255",
        "output": "float32 [n, classes], probabilities",
    }
    (folder / layout.NETWORK_FACTS).write_text(json.dumps(facts, indent=1), "utf-8")
    text = EXPLAINED.format(
        name=name,
        network=layout.NETWORK,
        facts=layout.NETWORK_FACTS,
        height=height,
        width=width,
        channels=channels,
        fit=fit,
        classes=len(record.class_names),
    )
    (folder / README).write_text(text, "utf-8")
    _write_reader(folder / READER)


def _write_reader(folder: Path) -> None:
    """Write the modules that read pictures as a package that does without mlplab.

    A short example of our own would read some kinds of pictures differently from ``predict``.
    """
    folder.mkdir()
    (folder / "__init__.py").touch()
    left = [images.__name__]
    while left:
        module = left.pop()
        source = inspect.getsource(importlib.import_module(module))
        left += OURS.findall(source)
        (folder / f"{module.rpartition('.')[2]}.py").write_text(
            OURS.sub(lambda found: f"from .{found[1].rpartition('.')[2]} import", source), "utf-8"
        )


def _try(folder: Path, model: Any, shape: list[int]) -> None:
    if importlib.util.find_spec("onnxruntime") is None:
        return
    noise = np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8)
    apart = float(abs(Exported(folder).probabilities(noise) - np.asarray(model(noise))).max())
    if not apart <= AGREEMENT:
        raise RunError(f"the ONNX file and Keras give probabilities that differ by {apart:.2g}")


class Exported:
    """A network of :func:`export`, computed by ONNX Runtime.

    Attributes:
        class_names: the meaning of the probabilities.
        image_shape: height, width and channels.
        fit: how pictures of other proportions are brought into that shape.

    Raises:
        RunError: if the folder is damaged, or ONNX Runtime is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("onnxruntime") is None:
            raise RunError("ONNX files need onnxruntime: pip install 'mlplab[onnx]'")
        import onnxruntime

        try:
            facts = json.loads(files.text(folder / layout.NETWORK_FACTS, LARGEST_FACTS))
            self.class_names = [str(name) for name in list(facts["class_names"])]
            height, width, channels = map(int, facts["image_shape"])
            if not (1 <= min(height, width) <= max(height, width) <= SIDE and channels in (1, 3)):
                raise ValueError(f"images of {height}×{width}×{channels}")
            self.image_shape = (height, width, channels)
            self.fit: Fit = facts.get("fit", "crop")
            if self.fit not in get_args(Fit):
                raise ValueError(f"fit {self.fit!r}")
            size = {"the exported network": 2 * (folder / layout.NETWORK).stat().st_size}
            memory.check(size, "It was not written by mlplab.", memory.available(), RunError)
            providers = ["CPUExecutionProvider"]
            self._session = onnxruntime.InferenceSession(
                folder / layout.NETWORK, providers=providers
            )
        except MlplabError:
            raise
        except Exception as error:  # ONNX Runtime raises its own errors
            raise RunError(
                f"{folder} is not an exported network, or damaged: {first_line(error)}"
            ) from None

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities, float32 [n, classes], of uint8 [n, height, width, channels].

        Raises:
            RunError: if the network does not take such images or returns something else.
        """
        try:
            (found,) = self._session.run(None, {self._session.get_inputs()[0].name: images})
        except Exception as error:
            raise RunError(
                f"the ONNX file does not take these images: {first_line(error)}"
            ) from None
        result: NDArray[np.float32] = np.asarray(found)
        if result.shape != (len(images), len(self.class_names)):
            raise RunError(f"the ONNX file returns {result.shape}, not one probability per class")
        return result
