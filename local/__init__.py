"""The payment API on this machine, without its pipeline: serve it, or soak a deployed stage."""
