"""The principals that write the access logs of load balancers.

Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html
"""

from collections.abc import Mapping

_SERVICE = "logdelivery.elasticloadbalancing.amazonaws.com"

#: Region to the account of AWS that delivers logs there; regions since August 2022 use the service principal.
_ACCOUNTS: Mapping[str, str] = {
    "af-south-1": "098369216593",
    "ap-east-1": "754344448648",
    "ap-northeast-1": "582318560864",
    "ap-northeast-2": "600734575887",
    "ap-northeast-3": "383597477331",
    "ap-south-1": "718504428378",
    "ap-southeast-1": "114774131450",
    "ap-southeast-2": "783225319266",
    "ap-southeast-3": "589379963580",
    "ca-central-1": "985666609251",
    "eu-central-1": "054676820928",
    "eu-north-1": "897822967062",
    "eu-south-1": "635631232127",
    "eu-west-1": "156460612806",
    "eu-west-2": "652711504416",
    "eu-west-3": "009996457667",
    "me-south-1": "076674570225",
    "sa-east-1": "507241528517",
    "us-east-1": "127311923021",
    "us-east-2": "033677994240",
    "us-west-1": "027434742980",
    "us-west-2": "797873946194",
}


def access_log_principals(region: str) -> list[str]:
    """Return the principals one of which a bucket policy must allow."""
    account = _ACCOUNTS.get(region)
    return [_SERVICE] if account is None else [_SERVICE, f"arn:aws:iam::{account}:root"]
