"""The linear methods that the DRML paper compares with: SIFT at 49 landmarks, and LSVM, APL or JPML.

Each is an estimator in scikit-learn's manner for N x K labels in {-1, 0, 1}, of which 0 is unknown.
They take arrays. `drml.experiments` ties them to prepared data: `sift` computes the features, `baseline` fits
on a prepared fold and scores, `patch_maps` draws which patches APL and JPML found important.
"""

from drml.baselines.apl import APL
from drml.baselines.jpml import JPML
from drml.baselines.lsvm import LSVM

__all__ = ["APL", "JPML", "LSVM"]
