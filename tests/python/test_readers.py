from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from drml.data.readers import Record, Scan


def test_a_record_cannot_be_changed_and_knows_its_video() -> None:
    record = Record("F001_T2_0007", Path("7.jpg"), "F001", "T2", 7, np.zeros(3, np.int8), np.zeros((49, 2)))
    assert record.video == "F001_T2"
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.frame = 8  # type: ignore[misc]  # it is frozen


def test_a_scan_counts_all_and_names_a_few() -> None:
    scan = Scan((1,))
    for number in range(20):
        scan.skip("no image", f"F001_T1_{number:04d}")
    scan.skip("no coding", "F001_T2 (whole video)", 300)
    scan.skip("no landmarks", "F001_T3", 0)
    assert scan.skipped == {"no image": 20, "no coding": 300}
    assert scan.examples["no image"][0] == "F001_T1_0000"
    assert len(scan.examples["no image"]) == 5
