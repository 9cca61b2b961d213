"""
Benchmarks: each side by side with its limit, or its peer, in the same run.

Absolute figures move from minute to minute by more than anything that is measured here, so nothing but ratios counts: the
median of interleaved pairs of short runs, both sides doing the same method and body (:mod:`bench.runner`). Each server is a
process of its own on one core, the load comes from another (:mod:`bench.stage`, :mod:`bench.load`). A row is declared in
a file of :mod:`bench.rows`.
"""
