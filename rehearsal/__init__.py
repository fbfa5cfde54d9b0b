"""The local run of the synthesized pipeline: no AWS account, the same definition, the same commands."""
