"""What CloudFormation may do in an account: the policies that `cdk bootstrap` is given instead of AdministratorAccess.

`python -m pipeline.bootstrap` writes them. They are committed, because an account is bootstrapped before anything else.
"""
