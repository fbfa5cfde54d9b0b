"""The configuration of one environment, and the physical names derived from it."""
