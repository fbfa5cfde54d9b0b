"""A command to try a payment with: for `make serve`, and for the environments of a rehearsal (`rehearsal.toml`)."""

import json
import os
import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_PAYMENT = {"amount": 1250, "currency": "USD", "payment_method": "tok_visa", "capture_method": "automatic"}


def curl_command(*, url: str, ca_file: str, api_key: str) -> str:
    """Return a shell command that takes a payment."""
    parts = [
        f"curl --cacert {shlex.quote(ca_file)} {url}/v1/payments",
        f"-H 'Authorization: Bearer {api_key}'",
        '-H "Idempotency-Key: $(date +%s)"',
        "-H 'Content-Type: application/json'",
        f"-d '{json.dumps(_PAYMENT)}'",
    ]
    return " \\\n  ".join(parts)


def read_smoke_key(secrets: "SecretsManagerClient", secret_arn: str) -> str:
    """Return the API key of the smoke checks of a deployed stage."""
    key = json.loads(secrets.get_secret_value(SecretId=secret_arn)["SecretString"])
    return f"sk_test_{key['id']}_{key['secret']}"


def main() -> int:
    """Print the command for a rehearsed environment, with its smoke key."""
    import boto3  # `make serve` does without it

    outputs = json.loads(os.environ["STACK_OUTPUTS"])
    key = read_smoke_key(boto3.client("secretsmanager"), outputs["SmokeKeySecretArn"])
    command = curl_command(url=outputs["ApiUrl"], ca_file=os.environ["CA_FILE"], api_key=key)
    sys.stdout.write(f"Take a payment:\n\n{command}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
