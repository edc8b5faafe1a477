"""The paper's tables and figures from prepared data, in units that are done once and can be gone on with.

* `units` does the work in folders of its own and knows nothing of what it is; `settings` is what all units of
  one experiment's folder share.
* `methods` are the methods of the tables; `nets` finds a net's prototxts, or writes variants of them.
* `transfer` fits linear classifiers on a net's features; `baseline` fits LSVM, APL or JPML to a prepared
  fold, on the features that `sift` computes, and `patch_maps` draws their patches.
* `detect` fits or trains one method on one fold and scores it; `timing` times one net.
* `table3` uses nets of another experiment's folder on other data, and makes the table of that.
* `tables`, `table4`, `sparsity`, `figure4`, `figure5` are made of finished units; `drawing` writes pictures.
* `run` is what ``drml experiment`` calls.
"""
