"""The only module that imports caffe; it does so in its functions, so that drml imports without Caffe."""

from __future__ import annotations

import os
import re
from types import ModuleType
from typing import Any

from drml.io.errors import UserError

_FATAL = re.compile(r"^F\d{4,8} .*?\] ?(.*)$", re.MULTILINE)


def import_caffe() -> ModuleType:
    """Import caffe, with its log limited to errors unless the variable GLOG_minloglevel is set."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    try:
        import caffe
    except ImportError as error:
        raise UserError(
            f"pycaffe not found ({error}): run make, and use .venv/bin/drml or .venv/bin/python"
        ) from None
    module: ModuleType = caffe
    return module


def messages() -> Any:
    """Return the module of Caffe's message classes, ``caffe.proto.caffe_pb2``."""
    import_caffe()
    from caffe.proto import caffe_pb2

    return caffe_pb2


def new_message(kind: str) -> Any:
    """Return an empty Caffe message, such as ``SolverState`` or ``NetParameter``."""
    return getattr(messages(), kind)()


def fatal_line(log: str) -> str | None:
    """Return the message of the last fatal line (``F1123 ... file.cpp:12] ...``) in Caffe's log, or None."""
    lines = _FATAL.findall(log)
    return lines[-1].strip() if lines else None
