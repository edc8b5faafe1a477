"""Saliency of prepared faces: maps of every AU as pictures and arrays, and how focused they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drml import scoring
from drml.au_regions import REGIONS, region_mask
from drml.errors import UserError
from drml.files import put_folder_in_place
from drml.net import CaffeGradientNet
from drml.net_input import find_input
from drml.prepared import Data, open_data
from drml.saliency import centre, focus, saliency_maps

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


def explain(
    deploy: str | Path,
    weights: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    key: str | None = None,
    aus: Sequence[int] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the saliency maps of one face.

    Writes to `out`: ``AU1.png``, ... (the map over the face), ``face.png``, ``maps.npz`` (``maps``, K x H x
    W, and ``aus``) and ``saliency.json``. The folder appears when all of it is there.

    Parameters
    ----------
    deploy, weights, data : path
        As in `drml.scoring.score`.
    out : path
        Folder to make; missing or empty, unless `overwrite`.
    key : str, optional
        The record; by default the first one.
    aus : sequence of int, optional
        AUs of the net's outputs; by default the data's.
    overwrite : bool
        Replace a folder that is not empty.

    Returns
    -------
    dict
        ``key``, ``synthetic``, and by AU ``focus`` (the share of saliency in the AU's region), ``area`` (the
        region's share of the face) and ``label``.

    Raises
    ------
    UserError
        Net, weights, data or folder are at fault.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not overwrite:
        raise UserError(f"{out}: not empty; choose another folder, or replace it with --overwrite")
    source = open_data(data)
    first = next(source.records(), None)
    if first is None:
        raise UserError(f"{data}: no record in it")
    labels = dict(zip(scoring.aus_of(source, len(first[2]), aus), first[2].tolist(), strict=True))
    if key is None:
        key, face = first[0], first[1]
    else:
        face = faces(source, [key])[key]
        labels = next(
            dict(zip(labels, one.tolist(), strict=True)) for name, _, one in source.records() if name == key
        )
    named = tuple(aus or labels)
    net = open_net(deploy, weights, source, batch=max(1, len(named)))
    count = net.forward([face], ["prob"])["prob"].reshape(-1).size
    if count != len(named):
        raise UserError(
            f"{deploy}: {count} outputs, but {len(named)} AUs; name those of the outputs with --aus"
        )
    maps = saliency_maps(net, face, range(count))
    shape = (maps.shape[1], maps.shape[2])
    shown = np.asarray(centre(face, shape), np.uint8)
    found: dict[str, Any] = {"key": key, "synthetic": source.synthetic, "aus": {}}
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for au, saliency in zip(named, maps, strict=True):
            (partial / f"AU{au}.png").write_bytes(cv2.imencode(".png", heat(shown, saliency))[1].tobytes())
            about: dict[str, Any] = {"label": labels.get(au)}
            if au in REGIONS:
                region = region_of(au, face.shape[0], shape)
                share = focus(saliency, region)
                about |= {"focus": None if np.isnan(share) else share, "area": float(region.mean())}
            found["aus"][f"AU{au}"] = about
        (partial / "face.png").write_bytes(cv2.imencode(".png", shown)[1].tobytes())
        np.savez(partial / "maps.npz", maps=maps, aus=np.array(named))
        text = json.dumps(found, indent=2, allow_nan=False) + "\n"
        (partial / "saliency.json").write_text(text, encoding="utf-8")
        put_folder_in_place(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return found
