"""Photos, videos and webcams -> a CSV of AUs in OpenFace's manner, and pictures.

`sources` says what is to be read, `frames` reads it, `faces` finds the faces and `tracking` follows them,
`model` has the net; `pipeline` joins these as a stream, `table` and `pictures` write what comes out, and
`run` does all of it for ``drml detect``.
"""

from drml.detect.run import Done, Outputs, detect

__all__ = ["Done", "Outputs", "detect"]
