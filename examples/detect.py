"""Find the faces and action units (AUs) in a photo, and print them as a table.

Usage: detect.py WEIGHTS PHOTO. WEIGHTS is the folder of a training (drml train), a .caffemodel or an .onnx.
"""

import sys

import drml


def main(weights: str, photo: str) -> None:
    """Print one row for each face: its position and the probability of each AU."""
    detector = drml.Detector(weights, threshold=0.5)
    table = detector(photo)  # also a video, a folder, an array (BGR), or a list of these
    faces = table[table.success == 1]
    if faces.empty:
        print(f"{photo}: no face found")
        return
    probabilities = [f"AU{au:02d}_p" for au in detector.aus]
    print(faces[["face_id", "confidence", "x_2", "y_2", *probabilities]].to_string(index=False))
    for _, face in faces.iterrows():
        present = [f"AU{au}" for au in detector.aus if face[f"AU{au:02d}_c"] == 1]
        print(f"face {face.face_id}: {', '.join(present) or 'no AU'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
