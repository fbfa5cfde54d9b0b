"""DNS validation records of certificates, which CloudFormation creates and never deletes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # templates are untyped JSON

from boto3.session import Session

from operations.installation import Stack


@dataclass(frozen=True, kw_only=True)
class ValidationRecord:
    """A CNAME record in a hosted zone."""

    zone_id: str
    name: str
    value: str


def find_validation_records(session: Session, stacks: Iterable[Stack]) -> set[ValidationRecord]:
    """Return the records of the certificates in these stacks; call it before the certificates are deleted."""
    found: set[ValidationRecord] = set()
    for stack in stacks:
        zones = _zones(stack.template)
        for arn in stack.ids("AWS::CertificateManager::Certificate"):
            for domain, name, value in _records(session, stack.region, arn):
                zone = next((zone for suffix, zone in zones.items() if domain.endswith(suffix)), None)
                if zone is not None:
                    found.add(ValidationRecord(zone_id=zone, name=name, value=value))
    return found


def delete_validation_records(
    session: Session, regions: Iterable[str], records: Iterable[ValidationRecord], *, report: Callable[[str], None]
) -> None:
    """Delete the records that no certificate in these regions needs any more.

    ACM uses the same record for every certificate of an account for the same domain; another one may need it to renew.
    """
    unneeded = sorted(records, key=lambda record: record.name)
    if not unneeded:
        return
    needed = {
        name
        for region in regions
        for page in session.client("acm", region_name=region).get_paginator("list_certificates").paginate()
        for certificate in page["CertificateSummaryList"]
        for _, name, _ in _records(session, region, certificate["CertificateArn"])
    }
    route53 = session.client("route53")
    for record in unneeded:
        existing = _existing(session, record)
        if record.name in needed:
            report(f"kept record {record.name}: another certificate needs it to renew")
        elif existing is not None:
            change: object = {"Changes": [{"Action": "DELETE", "ResourceRecordSet": existing}]}
            route53.change_resource_record_sets(HostedZoneId=record.zone_id, ChangeBatch=change)
            report(f"deleted validation record {record.name}")


def _zones(template: Mapping[str, Any]) -> dict[str, str]:
    """Return domain to hosted zone of the template's certificates, longest domain first."""
    options = [
        option
        for resource in template.get("Resources", {}).values()
        if resource.get("Type") == "AWS::CertificateManager::Certificate"
        for option in resource.get("Properties", {}).get("DomainValidationOptions", ())
        if isinstance(option.get("HostedZoneId"), str)
    ]
    return {one["DomainName"]: one["HostedZoneId"] for one in sorted(options, key=lambda one: -len(one["DomainName"]))}


def _records(session: Session, region: str, arn: str) -> Iterator[tuple[str, str, str]]:
    """Yield domain, record name and record value of a certificate with DNS validation."""
    certificate = session.client("acm", region_name=region).describe_certificate(CertificateArn=arn)["Certificate"]
    for option in certificate.get("DomainValidationOptions", ()):
        record = option.get("ResourceRecord")
        if record:
            yield option["DomainName"], record["Name"], record["Value"]


def _existing(session: Session, record: ValidationRecord) -> Mapping[str, Any] | None:
    sets: Sequence[Mapping[str, Any]] = session.client("route53").list_resource_record_sets(
        HostedZoneId=record.zone_id, StartRecordName=record.name, StartRecordType="CNAME", MaxItems="1"
    )["ResourceRecordSets"]
    for one in sets:
        values = [item["Value"].rstrip(".") for item in one.get("ResourceRecords", ())]
        if one["Name"].rstrip(".") == record.name.rstrip(".") and values == [record.value.rstrip(".")]:
            return one
    return None
