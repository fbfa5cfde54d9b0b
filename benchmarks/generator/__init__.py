"""The load generator: a process of its own, which must first prove itself on a server that does nothing."""
