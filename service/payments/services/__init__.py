"""Use cases: functions of the :class:`Context`. Each owns its transactions, and its commit is visible in it."""
