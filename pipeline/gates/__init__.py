"""The gates of the synth step, each a program of its own: `python -m pipeline.gates.<name>`.

A gate prints what it found, writes a JUnit report to `.run/reports`, and fails when it finds something, when a tool
breaks, and when there was nothing to check.
"""
