"""Run a synthesized CDK pipeline on one machine, without an AWS account."""
