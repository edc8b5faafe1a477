"""What pycaffe offers by name, and which of it the tests have run."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import TypeVar

from drml.nets.pycaffe import import_caffe

caffe = import_caffe()

MODULES = (
    "_caffe",
    "classifier",
    "coord_map",
    "detector",
    "draw",
    "io",
    "net_spec",
    "pycaffe",
    "upgrade",
)
CALLED: set[str] = set()

Test = TypeVar("Test", bound=Callable[..., object])


def runs(*names: str) -> Callable[[Test], Test]:
    """Note that a test runs these and compares what they compute: ``io.load_image``, ``_caffe.Net.save``."""

    def note(test: Test) -> Test:
        CALLED.update(names)
        return test

    return note


def public_names() -> set[str]:
    """Return the functions, classes, methods and properties that the modules define."""
    names = set()
    for module_name in MODULES:
        module = importlib.import_module(f"caffe.{module_name}")
        for name, value in vars(module).items():
            home = getattr(value, "__module__", None)
            if name.startswith("_") or not callable(value) or home not in (module.__name__, None):
                continue
            if not inspect.isclass(value):
                names.add(f"{module_name}.{name}")
                continue
            members = [member for member in vars(value) if not member.startswith("_")]
            # A class without members of its own is run where it is made.
            names.update(f"{module_name}.{name}.{member}" for member in members)
            names.add(f"{module_name}.{name}")
    return names
