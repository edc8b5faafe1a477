"""Runs the files of ``drml export-onnx`` in ONNX Runtime, without Caffe and without the prototxt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.io.checks import check_whole
from drml.io.errors import UserError
from drml.io.limits import PROTO_BYTES, check_file
from drml.nets.onnx_metadata import INTENSITIES, PROBABILITIES, SCORES, Metadata
from drml.nets.shapes import shape_text

__all__ = ["OnnxNet", "import_onnxruntime"]


def import_onnxruntime() -> Any:
    """Import ONNX Runtime; if it is missing, raise a `UserError` that says how to install it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"ONNX Runtime not found ({error}): pip install onnx onnxruntime") from None
    return onnxruntime


class OnnxNet:
    """An exported net.

    Parameters
    ----------
    source : path or bytes
        The file, or its content.
    threads : int
        Number of threads; 0 for one per processor core.

    Attributes
    ----------
    name : str
        The file, for error messages.
    metadata : Metadata
        The AUs of each output, the size of the input, and whether the file contains mean and scale.
    input_shape : tuple of int
        Channels, height and width.

    Raises
    ------
    UserError
        The file is missing or was not written by ``drml export-onnx``, or ONNX Runtime is not installed.

    Examples
    --------
    >>> net = OnnxNet("drml.onnx")                                          # doctest: +SKIP
    >>> net.metadata.aus                                                    # doctest: +SKIP
    (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
    >>> net.predict(np.zeros((3, 3, 170, 170), np.float32)).shape           # doctest: +SKIP
    (3, 12)
    """

    def __init__(self, source: str | Path | bytes, *, threads: int = 0) -> None:
        runtime = import_onnxruntime()
        check_whole(threads, 0, "threads")
        self.name = "the exported net" if isinstance(source, bytes) else str(source)
        if not isinstance(source, bytes) and not Path(source).is_file():
            raise UserError(f"{source}: no such file; give what drml export-onnx wrote")
        if not isinstance(source, bytes):
            check_file(source, PROTO_BYTES)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only; faults of the file are raised
        try:
            self._session = runtime.InferenceSession(
                source if isinstance(source, bytes) else str(source),
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # ONNX Runtime's errors have no other base class
            raise UserError(f"{self.name}: ONNX Runtime cannot load it: {error}") from None
        self.metadata = self._read_metadata()
        self._input, self.input_shape = self._read_input()

    def _read_metadata(self) -> Metadata:
        way_out = "give what drml export-onnx wrote"
        try:
            found = Metadata.from_properties(self._session.get_modelmeta().custom_metadata_map)
        except KeyError as error:
            raise UserError(
                f"{self.name}: an ONNX file, but not one of drml's: it has no property {error}; {way_out}"
            ) from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.name}: its properties are not drml's ({error}); {way_out}") from None
        if not found.outputs:
            raise UserError(f"{self.name}: its properties name no AU; {way_out}")
        outputs = {output.name: output.shape for output in self._session.get_outputs()}
        for name, aus in found.outputs.items():
            if name not in outputs or outputs[name][1:] != [len(aus)]:
                raise UserError(f"{self.name}: no output '{name}' of N x {len(aus)}; {way_out}")
        return found

    def _read_input(self) -> tuple[str, tuple[int, int, int]]:
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise UserError(
                f"{self.name}: has not one input of N x C x H x W; give what drml export-onnx wrote"
            )
        _, channels, height, width = inputs[0].shape
        return inputs[0].name, (channels, height, width)

    def run(self, batch: ArrayLike, output: str) -> NDArray[np.float32]:
        """Run a batch.

        Parameters
        ----------
        batch : array-like, N x C x H x W
            In the form that ``metadata.input`` describes; any N.
        output : str
            ``probabilities``, ``scores`` or ``intensities``: one of ``metadata.outputs``.

        Returns
        -------
        ndarray of float32, N x K
            Intensities as the net gives them: values below 0 and above 5 are not clipped.

        Raises
        ------
        UserError
            The batch has another shape, or the file has no such output.
        """
        return self._run(batch, [output])[0]

    def _run(self, batch: ArrayLike, names: list[str]) -> list[NDArray[np.float32]]:
        """Run a batch once, for several outputs."""
        known = self.metadata.outputs
        for name in names:
            if name not in known:
                raise UserError(f"{self.name}: no output '{name}'; it has {', '.join(known)}")
        array = np.ascontiguousarray(batch, np.float32)
        if array.shape[1:] != self.input_shape:
            given, wanted = map(shape_text, (array.shape, self.input_shape))
            raise UserError(f"{self.name}: a batch of {given} does not fit; it takes N x {wanted}")
        results: list[NDArray[np.float32]] = self._session.run(names, {self._input: array})
        return results

    def predict(self, batch: ArrayLike) -> NDArray[np.float32]:
        """Return the probabilities and intensities, N x (K + L), of a batch, N x C x H x W; see `run`."""
        names = [name for name in (PROBABILITIES, INTENSITIES) if name in self.metadata.outputs]
        return np.concatenate(self._run(batch, names), axis=1)

    def scores(self, batch: ArrayLike) -> NDArray[np.float32]:
        """Return the scores before the sigmoid, N x K; see `run`."""
        return self.run(batch, SCORES)
