"""Writes a deploy net and its weights as an ONNX file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from tqdm import tqdm

from drml import __version__
from drml.data.labels import list_aus
from drml.data.lmdb import read_mean
from drml.data.recipe import InputRecipe, Recipe, with_aus
from drml.io.errors import UserError
from drml.io.files import digest, writing
from drml.io.text import listed
from drml.nets.net import CaffeNet
from drml.nets.onnx_export.build import build_graph, refuse_unknown_layers
from drml.nets.onnx_export.compare import TOLERANCE, Difference, compare, comparison_images
from drml.nets.onnx_export.graph import BATCH, Graph
from drml.nets.onnx_metadata import INTENSITIES, PROBABILITIES, SCORES, Metadata
from drml.nets.preprocessing import find_scale
from drml.nets.prototxt import read_prototxt
from drml.nets.recipe import RECIPE, read_recipe
from drml.nets.trained_files import resolve_aus, resolve_intensity_aus

__all__ = ["Exported", "export"]

_LARGEST = 2**31 - 1  # bytes of a protobuf message
_MEANING = {
    PROBABILITIES: "probabilities of {}",
    SCORES: "scores of {}, before the sigmoid",
    INTENSITIES: "intensities of {}, 0 (absent) to 5, not clipped",
}
_GREY = 120.0  # the mean that the comparison subtracts if the file contains none


@dataclass(frozen=True)
class Exported:
    """A written ONNX file.

    Attributes
    ----------
    path : Path
    bytes : int
        Size of the file.
    nodes : int
        Number of nodes in the graph.
    metadata : Metadata
    scale_from : str
        Where the scale comes from, as text for the user.
    difference : Difference or None
        The difference from Caffe; None if ONNX Runtime is not installed.
    """

    path: Path
    bytes: int
    nodes: int
    metadata: Metadata
    scale_from: str
    difference: Difference | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        found = self.difference
        return {
            "path": str(self.path),
            "bytes": self.bytes,
            "nodes": self.nodes,
            **{name: text for name, text in self.metadata.to_properties().items() if name != RECIPE},
            "scale_from": self.scale_from,
            "difference": None if found is None else {"images": found.images, **found.outputs},
        }


def export(
    deploy: str | Path,
    weights: str | Path,
    out: str | Path,
    *,
    mean: str | Path | None = None,
    scale: float | None = None,
    aus: Sequence[int] | None = None,
    fold: bool = True,
    progress: bool = True,
    probe: bool = True,
) -> Exported:
    """Write a net as an ONNX file.

    The file is checked before it is written, and compared with Caffe if ONNX Runtime is installed.

    Parameters
    ----------
    deploy : path-like
        The deploy.prototxt of a net whose blob ``prob`` comes from a Sigmoid layer, or that has a blob
        ``intensity``, or both.
    weights : path-like
        A .caffemodel or .h5 file.
    out : path-like
        The ONNX file to write; it appears whole or not at all.
    mean : path-like, optional, keyword-only
        A mean.binaryproto; by default the mean of the recipe that the weights carry. If either is known, the
        file contains mean and scale and takes pixels of 0 to 255; otherwise it takes what Caffe's net takes,
        ``(pixel - mean) * scale``.
    scale : float, optional
        Factor of the pixels after the mean is subtracted; by default that of the training.
    aus : sequence of int, optional
        The AUs of the probabilities; by default those of the recipe that the weights carry. Those of the
        intensities are always the recipe's.
    fold : bool
        Whether the file is to contain mean and scale, if they are known.
    progress : bool
        Show a progress bar.
    probe : bool
        As for `drml.nets.net.CaffeNet`.

    Returns
    -------
    Exported

    Raises
    ------
    UserError
        A file is missing or damaged, a layer cannot be exported, or the results differ from Caffe's.

    Examples
    --------
    >>> export("deploy.prototxt", "final.caffemodel", "drml.onnx", mean="mean.binaryproto")  # doctest: +SKIP
    """
    with tqdm(total=4, desc=str(out), unit="step", disable=not progress) as bar:
        refuse_unknown_layers(deploy)
        recipe = read_recipe(weights)
        factor, scale_from = find_scale(weights, scale)
        image, image_from = _choose_mean(recipe, mean) if fold else (None, "")
        caffe = CaffeNet(
            deploy,
            weights,
            mean=np.full(1, _GREY, np.float32) if image is None else image,
            scale=factor,
            probe=probe,
        )
        outputs, levels = caffe.count_outputs()
        folded = None if image is None else (_middle(image, caffe, image_from), factor)
        bar.update()
        try:
            graph, blobs = build_graph(deploy, caffe, folded)
        except UserError as error:
            raise UserError(f"{deploy}: {error}") from None
        intensity_aus = resolve_intensity_aus(weights, recipe, levels)
        aus = resolve_aus(weights, recipe, outputs, aus, net=deploy)
        metadata = Metadata(
            drml_version=__version__,
            model=read_prototxt(deploy).name,
            weights_sha256=digest(Path(weights)),
            aus=aus,
            recipe=_recipe_of_file(with_aus(recipe or Recipe(), aus, intensity_aus), factor, image),
            mean_folded=folded is not None,
            scale=factor,
            size=caffe.input_shape[1:],
            face_size=_face_size(recipe, image),
        )
        content = _serialise(deploy, graph, caffe, metadata)
        bar.update()
        difference = _difference(out, content, caffe, blobs, image)
        bar.update()
        with writing(out, "wb") as file:
            file.write(content)
        bar.update()
    return Exported(Path(out), len(content), len(graph.nodes), metadata, scale_from, difference)


def _choose_mean(recipe: Recipe | None, mean: str | Path | None) -> tuple[NDArray[np.float32] | None, str]:
    """Return the mean image to put into the file, and where it comes from; None if no mean is known."""
    if mean is not None:
        return read_mean(Path(mean)), str(mean)
    if recipe is None or recipe.input.mean is None:
        return None, ""
    return recipe.input.mean, "the mean image in the weights"


def _recipe_of_file(recipe: Recipe, scale: float, image: NDArray[np.float32] | None) -> Recipe:
    """Return the recipe for the file; a mean image that is part of the graph is left out."""
    made = dataclasses.replace(recipe.input, scale=scale)
    if image is not None:
        made = dataclasses.replace(made, mean=None, mean_value=())
    elif recipe.input == InputRecipe():
        made = recipe.input  # the weights do not say how their input is made
    return dataclasses.replace(recipe, input=made)


def _face_size(recipe: Recipe | None, image: NDArray[np.float32] | None) -> tuple[int, int] | None:
    if image is not None:
        return int(image.shape[1]), int(image.shape[2])
    side = None if recipe is None else recipe.input.face_size
    return None if side is None else (side, side)


def _middle(mean: NDArray[np.float32], caffe: CaffeNet, name: str) -> NDArray[np.float32]:
    """Return what the data layer subtracts in TEST: the middle of the mean image."""
    _, height, width = caffe.input_shape
    rows, columns = mean.shape[1:]
    if rows < height or columns < width:
        raise UserError(
            f"{name}: a mean image of {rows}x{columns} is smaller than the input {height}x{width} of"
            f" {caffe.deploy}; give the mean.binaryproto of its training data"
        )
    top, left = (rows - height) // 2, (columns - width) // 2
    return mean[:, top : top + height, left : left + width]


def _serialise(deploy: str | Path, graph: Graph, caffe: CaffeNet, metadata: Metadata) -> bytes:
    """Return the content of the file, after ONNX's checker has accepted it."""
    size = sum(constant.ByteSize() for constant in graph.constants)
    if size > _LARGEST:
        raise UserError(
            f"{deploy}: {size / 1e9:.1f} GB of weights; an ONNX file cannot have more than"
            f" {_LARGEST / 1e9:.1f} GB"
        )
    outputs = [
        (name, [BATCH, len(aus)], _MEANING[name].format(list_aus(aus)))
        for name, aus in metadata.outputs.items()
    ]
    inputs = [(caffe.net.inputs[0], [BATCH, *caffe.input_shape], metadata.input)]
    model = graph.model(metadata.model or "net", inputs, outputs)
    model.producer_name, model.producer_version = "drml", __version__
    names = "; ".join(meaning for name, _, meaning in outputs if name != SCORES)
    model.doc_string = f"Facial action units: {names}. Input: {metadata.input}."
    onnx.helper.set_model_props(model, metadata.to_properties())
    content: bytes = model.SerializeToString()
    onnx.checker.check_model(content, full_check=True)
    return content


def _difference(
    out: str | Path,
    content: bytes,
    caffe: CaffeNet,
    blobs: dict[str, str],
    mean: NDArray[np.float32] | None,
) -> Difference | None:
    """Compare with Caffe if ONNX Runtime is installed; refuse results that differ."""
    if find_spec("onnxruntime") is None:
        return None
    channels, height, width = caffe.input_shape
    if mean is not None:
        height, width = mean.shape[1:]
    found = compare(content, caffe, blobs, comparison_images(channels, height, width))
    if not found.good:
        parts = [f"{by:.2g} in {name} up to {found.largest[name]:.3g}" for name, by in found.outputs.items()]
        by_how_much = listed(parts, "and")
        raise UserError(
            f"{out}: not written: differs from Caffe by {by_how_much}; at most {TOLERANCE:g} is allowed"
        )
    return found
