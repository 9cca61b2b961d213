"""
Benchmarks. Each one measures the service against a baseline in the same run, and reports the ratio.

Absolute figures vary from minute to minute by more than the differences that matter, so only ratios count: the median
of interleaved pairs of short runs, in which both sides handle the same requests (:mod:`bench.runner`). Each server is
a process pinned to one core, and the load comes from the other core (:mod:`bench.environment`,
:mod:`bench.load_generator`). The benchmarks are in :mod:`bench.benchmarks`.
"""
