"""What CloudFormation may do in an account: the policies passed to `cdk bootstrap` instead of AdministratorAccess.

`python -m pipeline.bootstrap` writes them. They are committed, because accounts are bootstrapped before anything else.
"""
