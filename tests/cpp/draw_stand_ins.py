"""Draw the pictures that upstream's tests read from examples/images, which Caffe's source package lacks.

The tests need their sizes in pixels, of one its size in bytes, and colours that survive a comparison of
decoders; what they show does not matter.
"""

import sys
from pathlib import Path

import cv2
import numpy as np


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """Return a height x width x 3 picture of smooth colours and a few shapes."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        centre = (int(random.integers(width)), int(random.integers(height)))
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        cv2.circle(image, centre, int(random.integers(8, 60)), colour, -1, cv2.LINE_AA)
    return image


def pad(path: Path, size: int) -> None:
    """Bring a JPEG file to `size` bytes; decoders stop at its end marker and ignore what follows."""
    data = path.read_bytes()
    if len(data) > size:
        sys.exit(f"{path} has {len(data)} bytes, more than the {size} that a test expects")
    path.write_bytes(data.ljust(size, b"\0"))


def main() -> None:
    """Write the four pictures into the folder named on the command line."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    cat = picture(360, 480, seed=1)
    grey = cv2.cvtColor(cat, cv2.COLOR_BGR2GRAY)
    # cat.jpg last: the build takes its presence for the presence of all.
    for name, image in (
        ("fish-bike.jpg", picture(323, 481, seed=2)),
        ("cat_gray.jpg", grey),
        ("cat gray.jpg", grey),
        ("cat.jpg", cat),
    ):
        if not cv2.imwrite(str(folder / name), image):
            sys.exit(f"{folder / name} could not be written")
    pad(folder / "cat.jpg", 140391)  # IOTest.TestReadFileToDatum counts the bytes


if __name__ == "__main__":
    main()
