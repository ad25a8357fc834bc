"""Figures: arrays in, Matplotlib figures out. Each function's name is its picture's file name."""

from mlplab.figures.charts import chart
from mlplab.figures.compared import disagreements, pareto
from mlplab.figures.curves import calibration, curves
from mlplab.figures.images import augmented_grid, confident_mistakes, sample_grid, weights
from mlplab.figures.learnt import receptive_fields, saliency, sensitivity
from mlplab.figures.matrices import confusion_matrix, per_class_accuracy
from mlplab.figures.rates import range_test
from mlplab.figures.style import png, save

__all__ = [
    "augmented_grid",
    "calibration",
    "chart",
    "confident_mistakes",
    "confusion_matrix",
    "curves",
    "disagreements",
    "pareto",
    "per_class_accuracy",
    "png",
    "range_test",
    "receptive_fields",
    "saliency",
    "sample_grid",
    "save",
    "sensitivity",
    "weights",
]
