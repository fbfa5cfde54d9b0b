"""What a deployment would change, found by comparing the deployed templates with those about to be deployed.

Change sets do not exist yet at the approval: CDK Pipelines prepares and deploys stack by stack, and the change set of a
stack depends on the outputs of the stacks before it.
"""
