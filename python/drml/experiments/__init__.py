"""The paper's tables and figures from prepared data, in units that are done once and can be gone on with.

`units` does the work in folders of its own and knows nothing of what it is; `settings` is what all units of
one experiment's folder share; `methods` are the methods of the tables; `detect` fits, trains and scores one
method on one fold; `tables` makes a table of what is finished; `run` is what ``drml experiment`` calls.
"""
