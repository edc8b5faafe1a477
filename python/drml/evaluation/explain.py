"""Saliency of a face, prepared or in a photo: maps of its AUs as pictures and arrays, and their focus."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from drml.data.labels import AU_NAMES
from drml.data.registration import register
from drml.data.split import Data, open_data
from drml.detect.faces import FaceDetector
from drml.detect.frames import read_images
from drml.detect.run import open_recogniser
from drml.detect.sources import find_sources
from drml.evaluation import scoring
from drml.evaluation.au_regions import REGIONS, region_mask
from drml.evaluation.saliency import centre, focus, saliency_maps
from drml.io.errors import UserError
from drml.io.files import put_folder_in_place
from drml.nets.net import CaffeGradientNet
from drml.nets.net_input import Input, find_input

__all__ = ["explain", "faces", "heat", "open_net", "region_of"]

_BLUR = 2.5  # pixels; of the pictures only: a map of single pixels is hard to see


def open_net(deploy: str | Path, weights: str | Path, data: Data, **options: Any) -> CaffeGradientNet:
    """Open a net that gives gradients, with its input made as in training; `options` as in `CaffeNet`."""
    settings = find_input(weights, data.lmdb)
    return CaffeGradientNet(deploy, weights, mean=settings.mean, scale=settings.scale, **options)


def faces(data: Data, keys: Iterable[str]) -> dict[str, NDArray[np.uint8]]:
    """Read the pictures of some records.

    Raises
    ------
    UserError
        One is not there.
    """
    wanted = set(keys)
    found = {key: picture for key, picture, _ in data.records() if key in wanted}
    if wanted - set(found):
        raise UserError(f"{data.name}: no record {min(wanted - set(found))}")
    return found


def region_of(au: int, size: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return an AU's region in the centre crop, height x width, of a registered face of this side."""
    return np.asarray(centre(region_mask(au, size), shape))


def heat(face: NDArray[np.uint8], saliency: NDArray[np.float32]) -> NDArray[np.uint8]:
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
class _Face:
    """A registered face that is explained, and how it becomes the net's input."""

    key: str
    picture: NDArray[np.uint8]
    aus: tuple[int, ...]
    labels: dict[int, int]
    synthetic: bool
    preparation: Input


def _face_of_data(weights: str | Path, data: str | Path, key: str | None, aus: Sequence[int] | None) -> _Face:
    source = open_data(data)
    for name, picture, labels in source.records():
        if key in (None, name):
            known = dict(zip(scoring.aus_of(source, len(labels), aus), labels.tolist(), strict=True))
            preparation = find_input(weights, source.lmdb)
            return _Face(name, picture, tuple(aus or known), known, source.synthetic, preparation)
    raise UserError(f"{data}: no record in it" if key is None else f"{source.name}: no record {key}")


def _face_of_photo(
    deploy: str | Path, weights: str | Path, photo: str | Path, aus: Sequence[int] | None
) -> _Face:
    """Find the largest face of a photo and register it, as ``drml detect`` does."""
    if not Path(photo).is_file():
        raise UserError(f"{photo}: no such image")
    (frame,) = read_images(find_sources([str(photo)]))
    if frame.image is None:
        raise UserError(f"{photo}: {frame.fault}")
    found = FaceDetector(largest=True).find(frame.image)
    if not found:
        raise UserError(f"{photo}: no face found in it")
    recogniser = open_recogniser(weights, net=deploy, aus=aus)
    picture = np.asarray(register(frame.image, found[0].points, recogniser.size), np.uint8)
    return _Face(str(photo), picture, recogniser.aus, {}, False, recogniser.preparation)


def explain(
    deploy: str | Path,
    weights: str | Path,
    out: str | Path,
    *,
    data: str | Path | None = None,
    photo: str | Path | None = None,
    key: str | None = None,
    aus: Sequence[int] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the saliency maps of one face.

    Writes to `out`: ``AU1.png``, ... (the map over the face), ``face.png``, ``grid.png`` (all of them with
    their names), ``maps.npz`` (``maps``, K x H x W, and ``aus``) and ``saliency.json``. The folder appears
    when all of it is there.

    Parameters
    ----------
    deploy, weights : path
        As in `drml.evaluation.scoring.score`.
    out : path
        Folder to make; missing or empty, unless `overwrite`.
    data, photo : path
        Either prepared data, as in `drml.evaluation.scoring.score`, or an image file, whose largest face is
        taken.
    key : str, optional
        The record of `data`; by default the first one.
    aus : sequence of int, optional
        AUs of the net's outputs; by default the data's, or as `drml.detect.model.find_aus` finds them.
    overwrite : bool
        Replace a folder that is not empty.

    Returns
    -------
    dict
        ``key``, ``synthetic``, and by AU ``score`` (the net's probability), ``focus`` (the share of saliency
        in the AU's region), ``area`` (the region's share of the face) and, of data, ``label``.

    Raises
    ------
    UserError
        Net, weights, data, photo or folder are at fault.
    """
    out = Path(out)
    if (data is None) == (photo is None):
        raise UserError("give either data or a photo")
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not overwrite:
        raise UserError(f"{out}: not empty; choose another folder, or replace it with --overwrite")
    if data is not None:
        face = _face_of_data(weights, data, key, aus)
    else:
        assert photo is not None
        face = _face_of_photo(deploy, weights, photo, aus)
    settings = {"mean": face.preparation.mean, "scale": face.preparation.scale}
    net = CaffeGradientNet(deploy, weights, batch=max(1, len(face.aus)), **settings)
    scores = net.forward([face.picture], ["prob"])["prob"].reshape(-1)
    if scores.size != len(face.aus):
        raise UserError(
            f"{deploy}: {scores.size} outputs, but {len(face.aus)} AUs; name those of the outputs with --aus"
        )
    maps = saliency_maps(net, face.picture, range(scores.size))
    shape = (maps.shape[1], maps.shape[2])
    shown = np.asarray(centre(face.picture, shape), np.uint8)
    heats = {au: heat(shown, saliency) for au, saliency in zip(face.aus, maps, strict=True)}
    found: dict[str, Any] = {"key": face.key, "synthetic": face.synthetic, "aus": {}}
    for au, saliency, score in zip(face.aus, maps, scores.tolist(), strict=True):
        about: dict[str, Any] = {"score": score, "label": face.labels.get(au)}
        if au in REGIONS:
            region = region_of(au, face.picture.shape[0], shape)
            share = focus(saliency, region)
            about |= {"focus": None if np.isnan(share) else share, "area": float(region.mean())}
        found["aus"][f"AU{au}"] = about
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for name, picture in {"face": shown, **{f"AU{au}": one for au, one in heats.items()}}.items():
            (partial / f"{name}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        _grid(shown, heats, found).savefig(partial / "grid.png", dpi=150)
        np.savez(partial / "maps.npz", maps=maps, aus=np.array(face.aus))
        text = json.dumps(found, indent=2, allow_nan=False) + "\n"
        (partial / "saliency.json").write_text(text, encoding="utf-8")
        put_folder_in_place(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return found


def _grid(face: NDArray[np.uint8], heats: dict[int, NDArray[np.uint8]], found: dict[str, Any]) -> Figure:
    """Draw the face and its maps side by side, each with the AU's name and the net's probability."""
    columns = min(5, len(heats) + 1)
    rows = -(-(len(heats) + 1) // columns)
    figure = Figure(figsize=(1.9 * columns, 2.2 * rows), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for place in places:
        place.axis("off")
    titles = {
        au: f"AU{au}  p = {found['aus'][f'AU{au}']['score']:.2f}\n{AU_NAMES.get(au, '')}" for au in heats
    }
    pictures = [("face", face), *((titles[au], picture) for au, picture in heats.items())]
    for place, (title, picture) in zip(places, pictures, strict=False):
        place.imshow(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        place.set_title(title, fontsize=8)
    if found["synthetic"]:
        figure.suptitle("SYNTHETIC DATA (a drawn face)", fontsize=9)
    return figure
