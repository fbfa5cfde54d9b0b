"""Sessions under another role, in this account or another one."""

import boto3


def assume_role(arn: str, *, region: str, session_name: str, seconds: int = 900) -> boto3.Session:
    """Return a session of a role that is valid for `seconds`."""
    credentials = boto3.client("sts", region_name=region).assume_role(
        RoleArn=arn, RoleSessionName=session_name, DurationSeconds=seconds
    )["Credentials"]
    return boto3.Session(
        region_name=region,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )
