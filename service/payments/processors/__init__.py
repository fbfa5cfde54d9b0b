"""Payment processors, behind one small interface.

Processors depend on the domain only. The sandbox also imports `repositories.sandbox_journal`: a real processor keeps
its books in a database of its own, the sandbox keeps them in ours, and all SQL is in `repositories`. Nothing there
imports a processor, so this makes no cycle.
"""
