"""Teach drml a data set of your own: one reader and one row of the table of data sets.

Usage: own_data_set.py ROOT OUT. ROOT has face crops named SUBJECT_FRAME_SMILE.png, such as anna_0001_1.png.
"""

import sys
from pathlib import Path

import numpy as np

import drml
from drml.data.readers import Record, Scan
from drml.data.readers.kinds import DATA_SETS, DataSet, Option

LABELS = {"1": 1, "0": -1, "x": 0}  # present, absent, unknown


def read(root, *, aus, progress, suffix):
    """Read the folder: one record for each image."""
    scan = Scan(tuple(aus))
    for image in sorted(Path(root).glob(f"*{suffix}")):
        subject, frame, smile = image.stem.split("_")
        if LABELS[smile] == 0:
            scan.skip("no known label", image.name)
            continue
        labels = np.array([LABELS[smile]], np.int8)
        # The crops are registered already; else give 49 landmarks (x, y) in pixels instead of None.
        scan.records.append(Record(image.stem, image, subject, "", int(frame), labels, None))
    return scan


DATA_SETS["smiles"] = DataSet(
    read, aus=(12,), options=(Option("suffix", str, "ending of the image files (default: .png)", ".png"),)
)

if __name__ == "__main__":
    summary = drml.prepare("smiles", sys.argv[1], sys.argv[2], progress=False, suffix=".png")
    print(f"{summary['images']} faces, skipped: {summary['skipped']}")
