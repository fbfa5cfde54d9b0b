"""The quality gates of the synth step, each run as `python -m pipeline.gates.<name>`.

A gate prints its findings, writes a JUnit report to `.run/reports`, and fails when it finds something, when its tool
breaks, and when there was nothing to check.
"""
