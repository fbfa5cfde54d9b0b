"""`make soak`: leave a deployed stage alone, then use it lightly, to find what only time reveals."""
