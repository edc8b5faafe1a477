"""Writes the saliency maps of one registered face as pictures and arrays, with the focus of each map.

`drml.evaluation.saliency` computes the maps. The face comes from prepared data (`read_face`) or from a photo
(`drml.detect.photo.read_photo_face`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drml.data.labels import AU_NAMES, INTENSITY_SUFFIX, LEVELS, column_names
from drml.data.split import Split, open_split
from drml.evaluation import scoring
from drml.evaluation.au_regions import REGIONS, region_mask
from drml.evaluation.saliency import centre, focus, saliency_maps
from drml.io.errors import UserError
from drml.io.figures import json_value
from drml.io.files import check_target, making
from drml.nets.net import CaffeGradientNet
from drml.nets.preprocessing import Preprocessing, find_preprocessing
from drml.nets.recipe import read_recipe
from drml.nets.trained_files import no_recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "RegisteredFace",
    "crop_region",
    "open_gradient_net",
    "overlay",
    "read_face",
    "read_faces",
    "write_saliency",
]

_BLUR = 2.5  # pixels; only the pictures are blurred, because single pixels are hard to see


def open_gradient_net(
    deploy: str | Path, weights: str | Path, data: Split, **options: Any
) -> CaffeGradientNet:
    """Open a net for gradients, with the preprocessing of its training; `options` as in `CaffeNet`."""
    settings = find_preprocessing(weights, data.lmdb)
    return CaffeGradientNet(deploy, weights, **settings.net_options(), **options)


def read_faces(data: Split, keys: Iterable[str]) -> dict[str, NDArray[np.uint8]]:
    """Read the images of some records.

    Raises
    ------
    UserError
        The data have no record of one of these keys.
    """
    wanted = set(keys)
    found = {key: picture for key, picture, _ in data.records() if key in wanted}
    if wanted - set(found):
        raise UserError(f"{data.name}: no record {min(wanted - set(found))}")
    return found


def crop_region(au: int, size: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return an AU's region as a mask of the centre crop that the net sees.

    Parameters
    ----------
    au : int
    size : int
        Side of the registered face in pixels.
    shape : tuple of int
        Height and width of the crop.
    """
    return np.asarray(centre(region_mask(au, size), shape))


def overlay(face: NDArray[np.uint8], saliency: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay a saliency map over a face.

    Parameters
    ----------
    face : ndarray of uint8, shape (H, W, 3)
        BGR.
    saliency : ndarray, shape (H, W)

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        The face in grey, from blue (little) to red (the map's 99th percentile and more); the map is blurred.
    """
    smooth = cv2.GaussianBlur(np.asarray(saliency, np.float32), (0, 0), _BLUR)
    top = float(np.percentile(smooth, 99))
    share = np.clip(smooth / top, 0, 1) if top > 0 else np.zeros_like(smooth)
    colours = cv2.applyColorMap((255 * share).astype(np.uint8), cv2.COLORMAP_JET)
    grey = cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.addWeighted(grey, 0.55, colours, 0.45, 0), np.uint8)


@dataclass(frozen=True)
class RegisteredFace:
    """A registered face whose saliency maps are wanted.

    Attributes
    ----------
    name : str
        The record's key, or the name of the photo.
    image : ndarray of uint8, shape (size, size, 3)
        BGR.
    aus : tuple of int
        AUs of the net's probabilities, in their order.
    preparation : Preprocessing
        Mean and scale of the net's training.
    labels : dict
        Name of an output, as in `outputs` -> label, as far as the labels are known.
    synthetic : bool
        The face is drawn, not photographed.
    intensity_aus : tuple of int
        AUs of the net's intensities, in their order.
    """

    name: str
    image: NDArray[np.uint8]
    aus: tuple[int, ...]
    preparation: Preprocessing
    labels: dict[str, int] = field(default_factory=dict)
    synthetic: bool = False
    intensity_aus: tuple[int, ...] = ()

    @property
    def outputs(self) -> dict[str, int]:
        """The name of each output of the net, ``AU1`` of a score and ``AU6_r`` of an intensity -> its AU."""
        return dict(
            zip(column_names(self.aus, self.intensity_aus), (*self.aus, *self.intensity_aus), strict=True)
        )


def read_face(
    weights: str | Path,
    data: str | Path,
    key: str | None = None,
    aus: Sequence[int] | None = None,
    *,
    mean: str | Path | None = None,
    scale: float | None = None,
) -> RegisteredFace:
    """Read a face from prepared data.

    Parameters
    ----------
    weights, data : path
        As in `drml.evaluation.scoring.score`.
    key : str, optional
        Key of the record; by default the first record is read.
    aus : sequence of int, optional
        AUs of the net's probabilities; by default those of the recipe that the weights carry.
    mean, scale : optional, keyword-only
        As in `drml.evaluation.scoring.score`.

    Raises
    ------
    UserError
        The data have no such record, or cannot be read.
    """
    source = open_split(data)
    recipe = read_recipe(weights)
    intensity_aus = () if recipe is None else recipe.intensity_au
    if aus is None and not intensity_aus and (recipe is None or not recipe.au):
        raise UserError(no_recipe(weights))
    net_aus = aus if recipe is None or aus is not None else recipe.au
    for name, image, occurrences, levels in source.whole_records():
        if key in (None, name):
            count = len(occurrences)
            data_aus = scoring.aus_of(source, count, aus) if count else ()
            names = column_names(data_aus, source.intensity_aus)
            known = dict(zip(names, [*occurrences.tolist(), *levels.tolist()], strict=True))
            preparation = find_preprocessing(weights, source.lmdb, mean=mean, scale=scale)
            return RegisteredFace(
                name, image, tuple(net_aus or ()), preparation, known, source.synthetic, intensity_aus
            )
    raise UserError(f"{data}: no record in it" if key is None else f"{source.name}: no record {key}")


def write_saliency(
    deploy: str | Path,
    weights: str | Path,
    face: RegisteredFace,
    out: str | Path,
    *,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Compute the saliency maps of a face and write them to a folder.

    There is a map for each output of the net: of a net that detects occurrences and estimates intensities,
    for both. The folder holds ``AU1.png``, ... and ``AU6_r.png``, ... for intensities (each map over the
    face), ``face.png``, ``grid.png`` (all maps with their names), ``maps.npz`` (``maps``, (K + L) x H x W,
    ``aus`` and ``intensity_aus``) and ``saliency.json``. It appears only when it is complete.

    Parameters
    ----------
    deploy, weights : path
        As in `drml.evaluation.scoring.score`.
    face : RegisteredFace
    out : path
        Folder to write; it must be missing or empty, unless `overwrite` is set.
    overwrite : bool
        Replace a folder that is not empty.

    Returns
    -------
    dict
        ``key``, ``synthetic``, and ``aus``: for each output its ``score`` (the net's probability) or
        ``intensity`` (its estimate, 0 to 5), ``label`` (None where it is not known), ``focus`` (the share of
        saliency within the AU's region) and ``area`` (the region's share of the face).

    Raises
    ------
    UserError
        The net does not fit the weights or the AUs, or the folder is not empty.
    """
    out = Path(out)
    check_target(out, folder=True, overwrite=overwrite)
    options = face.preparation.net_options()
    outputs = face.outputs
    net = CaffeGradientNet(deploy, weights, batch=max(1, len(outputs)), **options)
    scores, levels = net.count_outputs()
    if scores != len(face.aus):
        raise UserError(
            f"{deploy}: {scores} outputs, but {len(face.aus)} AUs; name those of the outputs with --aus"
        )
    if levels != len(face.intensity_aus):
        raise UserError(
            f"{deploy}: {levels} outputs of intensities, but {len(face.intensity_aus)} AUs; give the"
            " deploy.prototxt of its training with --net"
        )
    values = net.predict(net.preprocess(face.image)[None])[0]
    values[len(face.aus) :] = np.clip(values[len(face.aus) :], LEVELS[0], LEVELS[-1])
    maps = saliency_maps(net, face.image, range(len(outputs)))
    shape = (maps.shape[1], maps.shape[2])
    shown = np.asarray(centre(face.image, shape), np.uint8)
    heats = {name: overlay(shown, saliency) for name, saliency in zip(outputs, maps, strict=True)}
    found: dict[str, Any] = {"key": face.name, "synthetic": face.synthetic, "aus": {}}
    for (name, au), saliency, value in zip(outputs.items(), maps, values.tolist(), strict=True):
        kind = "intensity" if name.endswith(INTENSITY_SUFFIX) else "score"
        about: dict[str, Any] = {kind: value, "label": face.labels.get(name)}
        if au in REGIONS:
            region = crop_region(au, face.image.shape[0], shape)
            share = focus(saliency, region)
            about |= {"focus": json_value(share), "area": float(region.mean())}
        found["aus"][name] = about
    with making(out, folder=True, overwrite=overwrite) as part:
        for name, picture in {"face": shown, **heats}.items():
            (part / f"{name}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        _grid(shown, heats, outputs, found).savefig(part / "grid.png", dpi=150)
        np.savez(
            part / "maps.npz",
            maps=maps,
            aus=np.array(face.aus, np.int64),
            intensity_aus=np.array(face.intensity_aus, np.int64),
        )
        text = json.dumps(found, indent=2, allow_nan=False) + "\n"
        (part / "saliency.json").write_text(text, encoding="utf-8")
    return found


def _grid(
    face: NDArray[np.uint8],
    heats: dict[str, NDArray[np.uint8]],
    outputs: dict[str, int],
    found: dict[str, Any],
) -> Figure:
    """Draw the face and its maps side by side, each with the AU's name and the net's output."""
    from matplotlib.figure import Figure  # here, because it takes half a second to import

    columns = min(5, len(heats) + 1)
    rows = -(-(len(heats) + 1) // columns)
    figure = Figure(figsize=(1.9 * columns, 2.2 * rows), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for place in places:
        place.axis("off")
    titles = {}
    for name, au in outputs.items():
        about = found["aus"][name]
        value = f"p = {about['score']:.2f}" if "score" in about else f"intensity {about['intensity']:.1f}"
        titles[name] = f"AU{au}  {value}\n{AU_NAMES.get(au, '')}"
    pictures = [("face", face), *((titles[name], picture) for name, picture in heats.items())]
    for place, (title, picture) in zip(places, pictures, strict=False):
        place.imshow(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        place.set_title(title, fontsize=8)
    if found["synthetic"]:
        figure.suptitle("SYNTHETIC DATA (a drawn face)", fontsize=9)
    return figure
