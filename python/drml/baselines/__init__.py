"""The linear methods that the DRML paper compares with: SIFT at 49 landmarks, and LSVM, APL or JPML.

Each is an estimator in scikit-learn's manner for N x K labels in {-1, 0, 1}, of which 0 is unknown.
`features` makes the SIFT features of prepared data, `run` goes from a prepared fold to scores, `maps` draws
which patches APL and JPML found important.
"""

from drml.baselines.apl import APL
from drml.baselines.jpml import JPML
from drml.baselines.lsvm import LSVM

__all__ = ["APL", "JPML", "LSVM"]
