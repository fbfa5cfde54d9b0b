"""The rules of the security groups."""

from collections.abc import Iterator, Mapping
from typing import Any  # CloudFormation's JSON

from tools.pictures.templates import Resource, Templates

#: Any address.
INTERNET = "internet"
#: CDK's rule that matches no packet, where EC2 would otherwise allow everything.
_NOTHING = "255.255.255.255/32"


class Rules:
    """What the security groups of an environment allow.

    Attributes:
        groups: Their short names, such as ``api``.
        outside: What the rules say that the internet is for.
    """

    def __init__(self, templates: Templates) -> None:
        found = templates.all("EC2::SecurityGroup")
        self._names = {group.id: str(group.properties["GroupName"]).split("-")[2] for group in found}
        self.groups = set(self._names.values())
        self._ingress = [
            (self._peer(rule), group, _port(rule)) for group, rule in self._rules(templates, found, "Ingress")
        ]
        egress = [
            (group, rule) for group, rule in self._rules(templates, found, "Egress") if rule.get("CidrIp") != _NOTHING
        ]
        self._egress = [(group, self._peer(rule), _port(rule)) for group, rule in egress]
        self.outside = ", ".join(
            dict.fromkeys(str(rule["Description"]) for _, rule in egress if self._peer(rule) == INTERNET)
        )

    def allowed(self) -> dict[tuple[str, str], list[str | int]]:
        """Return the ports at which one may talk to another: allowed at both ends, of which the internet is none."""
        both = [rule for rule in self._ingress if rule in self._egress or rule[0] not in self.groups]
        both += [rule for rule in self._egress if rule[1] not in self.groups]
        ports: dict[tuple[str, str], list[str | int]] = {}
        for source, target, port in both:
            ports.setdefault((source, target), []).append(port)
        return ports

    def _rules(
        self, templates: Templates, groups: list[Resource], direction: str
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for group in groups:
            for rule in group.properties.get(f"SecurityGroup{direction}", ()):
                yield self._names[group.id], rule
        for separate in templates.all(f"EC2::SecurityGroup{direction}"):
            yield self._names[separate.properties["GroupId"]], separate.properties

    def _peer(self, rule: Mapping[str, Any]) -> str:
        group = rule.get("SourceSecurityGroupId", rule.get("DestinationSecurityGroupId"))
        if group is not None:
            return self._names[group]
        block = rule.get("CidrIp", rule.get("CidrIpv6"))
        return INTERNET if block == "0.0.0.0/0" else str(block)


def _port(rule: Mapping[str, Any]) -> str | int:
    first, last = rule.get("FromPort"), rule.get("ToPort")
    if rule["IpProtocol"] == "tcp" and isinstance(first, int):
        return first if first == last else f"{first}-{last}"
    return f"{rule['IpProtocol']} {first}-{last}"
