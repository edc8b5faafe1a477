"""Every public function, class, method and property of pycaffe is run by a test."""

import importlib

import caffe

import pycaffe_names

TESTS = ("test_pycaffe_io", "test_pycaffe_nets", "test_pycaffe_spec")


def test_every_public_name_is_run() -> None:
    for name in TESTS:
        importlib.import_module(name)
    assert pycaffe_names.public_names() == pycaffe_names.CALLED


def test_every_module_is_looked_at() -> None:
    import pkgutil

    assert {module.name for module in pkgutil.iter_modules(caffe.__path__)} == {
        *pycaffe_names.MODULES,
        "proto",  # the messages: test_proto.py
    }
