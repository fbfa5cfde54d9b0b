"""`make soak`: a deployed stage is left alone, then lightly used, for as long as it takes to see what minutes hide."""
