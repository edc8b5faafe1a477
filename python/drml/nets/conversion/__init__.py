"""Conversion of nets between Region layers and the branches of layers that the authors' nets have."""
