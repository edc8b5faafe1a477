"""Facial action unit detection with DRML on Caffe.

The names in ``__all__`` are the public interface. Each is imported when it is first used, so that
``import drml`` is quick and loads neither OpenCV nor Caffe.

Examples
--------
>>> import drml
>>> sorted(set(drml.__all__) - {"__version__"})
['APL', 'Detector', 'JPML', 'LSVM', 'Net', 'evaluate', 'load_split', 'prepare', 'register', 'train']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drml.baselines import APL, JPML, LSVM
    from drml.data.prepare import prepare
    from drml.data.registration import register
    from drml.data.split import load_split
    from drml.detect.detector import Detector
    from drml.evaluation import evaluate
    from drml.evaluation.training import train
    from drml.nets.trained import Net

__version__ = "0.1.0"

__all__ = [
    "APL",
    "JPML",
    "LSVM",
    "Detector",
    "Net",
    "__version__",
    "evaluate",
    "load_split",
    "prepare",
    "register",
    "train",
]

_MODULES = {
    "APL": "drml.baselines",
    "JPML": "drml.baselines",
    "LSVM": "drml.baselines",
    "Detector": "drml.detect.detector",
    "Net": "drml.nets.trained",
    "evaluate": "drml.evaluation",
    "load_split": "drml.data.split",
    "prepare": "drml.data.prepare",
    "register": "drml.data.registration",
    "train": "drml.evaluation.training",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'drml' has no attribute '{name}'")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
