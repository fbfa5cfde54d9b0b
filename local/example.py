"""A command to try a payment with: for `make serve`, and for the environments of a rehearsal (`rehearsal.toml`)."""

import json
import os
import shlex
import sys

import boto3

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


def main() -> int:
    """Print the command for a rehearsed environment, with its smoke key."""
    outputs = json.loads(os.environ["STACK_OUTPUTS"])
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=outputs["SmokeKeySecretArn"])["SecretString"]
    key = json.loads(secret)
    command = curl_command(
        url=outputs["ApiUrl"], ca_file=os.environ["CA_FILE"], api_key=f"sk_test_{key['id']}_{key['secret']}"
    )
    sys.stdout.write(f"Take a payment:\n\n{command}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
