"""
``python -m bench.scale``: a database of any size, and the plan and the time of every query that can grow.

:mod:`.fill` inserts the rows, :mod:`.subject` names some of them, :mod:`.lists`, :mod:`.work` and :mod:`.by_key` call each
function of ``app.db``, and :mod:`.plans` explains the statements that they run, and judges the plans.
"""
