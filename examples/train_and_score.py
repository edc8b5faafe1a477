"""Train a net on one fold, score it on subjects that it has not seen, and print the table of its scores.

Usage: train_and_score.py SOLVER FOLD OUT [ITERATIONS]. FOLD is a fold of drml prepare: data/drml/fold1, say.
"""

import sys

import drml


def main(solver: str, fold: str, out: str, iterations: str = "400") -> None:
    """Train, score and print. OUT becomes the folder of the training."""
    training = drml.train(solver, out, data=fold, max_iter=int(iterations))
    print(f"{training.weights}: {training.iterations} iterations, {training.seconds:.0f} s")

    X, y, subjects = drml.load_split(fold)  # test split: images, labels (1, -1, or 0 if unknown), subjects
    net = drml.Net(out)  # its AUs, mean image and scale are those of the training
    table = drml.evaluate(y, net(X), aus=net.aus, subjects=subjects)
    print(f"{len(X)} faces of {len(set(subjects))} subjects")
    print(table)


if __name__ == "__main__":
    main(*sys.argv[1:])
