"""TLS settings of the smoke checks for an environment with a certificate but without a domain, as in an evaluation.

Such an environment is called by the load balancer's own name, which no certificate can carry. TLS is verified all the
same: the checks expect the certificate's name, and trust an imported certificate (self-signed, or issued by a private
authority) in addition to the public roots.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from mypy_boto3_acm import ACMClient

CERTIFICATE = "CERTIFICATE_ARN"


def trust_variables(environ: Mapping[str, str], acm: "ACMClient") -> dict[str, str]:
    """Return the variables with which `integ` verifies the certificate that `environ` names; none if it names none.

    Roots that are configured already (`CA_BUNDLE`, `REQUESTS_CA_BUNDLE`) stay in force.
    """
    arn = environ.get(CERTIFICATE)
    if not arn or environ.get("CA_BUNDLE") or environ.get("REQUESTS_CA_BUNDLE"):
        return {}
    described = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    variables = {"TLS_SERVER_NAME": described["DomainName"]}
    if described["Type"] == "IMPORTED":
        found = acm.get_certificate(CertificateArn=arn)
        roots = Path(requests.utils.DEFAULT_CA_BUNDLE_PATH).read_text(encoding="utf-8")
        bundle = "\n".join([roots, found["Certificate"], found.get("CertificateChain", "")])
        with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False, encoding="utf-8") as file:
            file.write(bundle)
        variables["CA_BUNDLE"] = file.name
    return variables
