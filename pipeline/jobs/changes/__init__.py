"""What a deployment would change, told by comparing templates: the deployed ones with those about to be deployed.

Change sets cannot tell it before an approval: CDK Pipelines prepares and deploys stack by stack, and a stack's change
set depends on the outputs of the one before.
"""
