"""The section of the faces: some of the test set, with what the net said of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drml import lmdb_io
from drml.errors import UserError
from drml.prepared import open_data
from drml.report.markup import escaped
from drml.scoring import read_prediction_rows

FACES = 8


def choose(keys: Sequence[str], subject_of: dict[str, str], count: int = FACES) -> list[str]:
    """Choose frames without a look at the result: the middle one of subjects spread over the test set.

    With fewer subjects than faces, frames spread evenly over the test set.

    Examples
    --------
    >>> choose(["a1", "a2", "a3", "b1"], {"a1": "a", "a2": "a", "a3": "a", "b1": "b"}, count=2)
    ['a2', 'b1']
    """
    by_subject: dict[str, list[str]] = {}
    for key in keys:
        by_subject.setdefault(subject_of.get(key, ""), []).append(key)
    middles = [some[len(some) // 2] for some in by_subject.values()]
    among = middles if len(middles) >= count else list(keys)
    if len(among) <= count:
        return among
    return [among[index * len(among) // count] for index in range(count)]


def _picture(data: bytes, where: str) -> str:
    """Return a picture's bytes as a data URL; JPEG and PNG go in as they are."""
    if data.startswith(b"\xff\xd8"):
        kind = "jpeg"
    elif data.startswith(b"\x89PNG"):
        kind = "png"
    else:
        raise UserError(f"{where}: neither JPEG nor PNG; run drml verify on it")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def faces_section(scores: dict[str, Any], predictions: Path) -> str:
    """Return some faces of the first fold with hits, misses and false alarms."""
    aus, rows = read_prediction_rows(predictions)
    threshold = scores["threshold"]
    chosen: list[tuple[str, str, bytes]] = []
    # The first fold stands for all of them.
    data = open_data(scores["folds"][0]["data"])
    keys = [item.key for item in lmdb_io.read_lmdb(data.lmdb) if item.key in rows]
    records = data.manifest.rows if data.manifest else {}
    subjects = {key: records[key].subject for key in keys if key in records}
    wanted = set(choose(keys, subjects))
    if not wanted:
        raise UserError(f"{predictions}: none of its keys is in {data.lmdb}; score that data again")
    for item in lmdb_io.read_lmdb(data.lmdb):
        if item.key in wanted:
            chosen.append((item.key, subjects.get(item.key, ""), item.image))
    synthetic = " Drawn, not photographed." if scores["synthetic"] else ""
    parts = [
        "<section>",
        "<h2>Some of the test faces</h2>",
        f"<p>{len(chosen)} registered faces spread over the test set, chosen without a look at the result."
        f"{synthetic} <b>Hit</b>: the AU is there and was found; <b>missed</b>: it is there and was not;"
        f" <b>false</b>: it was found and is not there. Threshold {threshold:g}.</p>",
        '<div class="faces">',
    ]
    for key, subject, image in chosen:
        row = rows[key]
        found = {au: float(row[f"p_AU{au}"]) >= threshold for au in aus}
        label = {au: int(row[f"y_AU{au}"]) for au in aus}
        groups = {
            "hit": [au for au in aus if label[au] > 0 and found[au]],
            "missed": [au for au in aus if label[au] > 0 and not found[au]],
            "false": [au for au in aus if label[au] < 0 and found[au]],
            "unknown": [au for au in aus if label[au] == 0],
        }
        true = ", ".join(f"AU {au}" for au in aus if label[au] > 0) or "no AU"
        alt = f"Face of {subject or key}, showing {true}"
        parts.append(f'<figure><img src="{_picture(image, key)}" alt="{escaped(alt)}" loading="lazy">')
        parts.append(f'<figcaption title="{escaped(key)}">{escaped(key.split("_", 1)[-1])}</figcaption><dl>')
        for name, some in groups.items():
            if some or name != "unknown":
                listed = " ".join(map(str, some)) or "-"
                parts.append(f"<dt>{name}</dt><dd>{listed}</dd>")
        parts.append("</dl></figure>")
    parts.append("</div></section>")
    return "\n".join(parts)
