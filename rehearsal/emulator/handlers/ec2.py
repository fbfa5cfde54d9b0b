"""EC2: addresses, NAT gateways, security-group rules and flow logs, all made through the emulator's EC2 API."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from rehearsal.emulator.handlers.base import Handler, Properties, Request, Resource, ResourceError

if TYPE_CHECKING:
    from mypy_boto3_ec2.client import EC2Client
    from mypy_boto3_ec2.literals import ResourceTypeType
    from mypy_boto3_ec2.type_defs import IpPermissionTypeDef, TagSpecificationTypeDef


def _tags(properties: Properties, kind: "ResourceTypeType") -> "list[TagSpecificationTypeDef]":
    tags = properties.get("Tags")
    return [{"ResourceType": kind, "Tags": tags}] if tags else []


class _Ec2Handler(Handler):
    @property
    def ec2(self) -> "EC2Client":
        """The emulator's EC2 API."""
        return self.account.session.client("ec2")


class Eip(_Ec2Handler):
    """An Elastic IP address; Ref gives the address itself."""

    type_name = "AWS::EC2::EIP"

    def create(self, request: Request) -> Resource:
        """Allocate an address."""
        made = self.ec2.allocate_address(Domain="vpc", TagSpecifications=_tags(request.properties, "elastic-ip"))
        attributes = {"AllocationId": made["AllocationId"], "PublicIp": made["PublicIp"]}
        return Resource(id=made["PublicIp"], attributes=attributes)

    def delete(self, resource_id: str, properties: Properties) -> None:  # noqa: ARG002
        """Release the address."""
        for address in self.ec2.describe_addresses()["Addresses"]:
            if address["PublicIp"] == resource_id:
                self.ec2.release_address(AllocationId=address["AllocationId"])


class NatGateway(_Ec2Handler):
    """A NAT gateway in a public subnet."""

    type_name = "AWS::EC2::NatGateway"

    def create(self, request: Request) -> Resource:
        """Create the gateway."""
        properties = request.properties
        allocation = properties.get("AllocationId")
        if properties.get("ConnectivityType", "public") == "public" and not allocation:
            raise ResourceError("A public NAT gateway needs an AllocationId.")
        made = self.ec2.create_nat_gateway(
            SubnetId=properties["SubnetId"],
            **({"AllocationId": allocation} if allocation else {}),
            TagSpecifications=_tags(properties, "natgateway"),
        )
        gateway_id = made["NatGateway"]["NatGatewayId"]
        return Resource(id=gateway_id, attributes={"NatGatewayId": gateway_id})

    def delete(self, resource_id: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete the gateway."""
        self.ec2.delete_nat_gateway(NatGatewayId=resource_id)


class _SecurityGroupRule(_Ec2Handler):
    """A rule of its own, really added to its group; Ref gives the rule's id."""

    direction: ClassVar[Literal["Source", "Destination"]]

    def create(self, request: Request) -> Resource:
        """Add the rule; one that the group has already is refused, as EC2 refuses it."""
        group = request.properties["GroupId"]
        before = self._rule_ids(group)
        rule_id = self._authorize(group, self._permission(request.properties))
        if rule_id in before:
            raise ResourceError(f"the specified rule already exists in security group {group} ({rule_id})")
        return Resource(id=rule_id, attributes={"Id": rule_id})

    def _rule_ids(self, group: str) -> set[str]:
        rules = self.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
        return {rule["SecurityGroupRuleId"] for rule in rules["SecurityGroupRules"]}

    def _permission(self, properties: Properties) -> "IpPermissionTypeDef":
        permission: dict[str, Any] = {"IpProtocol": str(properties["IpProtocol"])}
        permission |= {port: int(properties[port]) for port in ("FromPort", "ToPort") if port in properties}
        described = {"Description": properties["Description"]} if properties.get("Description") else {}
        peers = {
            "CidrIp": ("IpRanges", "CidrIp"),
            "CidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
            f"{self.direction}PrefixListId": ("PrefixListIds", "PrefixListId"),
            f"{self.direction}SecurityGroupId": ("UserIdGroupPairs", "GroupId"),
        }
        for name, (kind, member) in peers.items():
            if properties.get(name):
                permission[kind] = [{member: properties[name], **described}]
                return cast("IpPermissionTypeDef", permission)
        raise ResourceError(f"{self.type_name} needs one of {', '.join(peers)}.")

    def _authorize(self, group: str, permission: "IpPermissionTypeDef") -> str:
        raise NotImplementedError


class SecurityGroupIngress(_SecurityGroupRule):
    """A rule for what may come in."""

    type_name = "AWS::EC2::SecurityGroupIngress"
    direction = "Source"

    def _authorize(self, group: str, permission: "IpPermissionTypeDef") -> str:
        made = self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
        return made["SecurityGroupRules"][0]["SecurityGroupRuleId"]

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Take the rule out of its group."""
        self.ec2.revoke_security_group_ingress(GroupId=properties["GroupId"], SecurityGroupRuleIds=[resource_id])


class SecurityGroupEgress(_SecurityGroupRule):
    """A rule for what may go out."""

    type_name = "AWS::EC2::SecurityGroupEgress"
    direction = "Destination"

    def _authorize(self, group: str, permission: "IpPermissionTypeDef") -> str:
        made = self.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[permission])
        return made["SecurityGroupRules"][0]["SecurityGroupRuleId"]

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Take the rule out of its group."""
        self.ec2.revoke_security_group_egress(GroupId=properties["GroupId"], SecurityGroupRuleIds=[resource_id])


class FlowLog(_Ec2Handler):
    """A flow log of a network."""

    type_name = "AWS::EC2::FlowLog"

    def create(self, request: Request) -> Resource:
        """Create the flow log."""
        properties = request.properties
        optional = ("LogGroupName", "LogDestination", "LogDestinationType", "DeliverLogsPermissionArn", "LogFormat")
        made = self.ec2.create_flow_logs(
            ResourceIds=[properties["ResourceId"]],
            ResourceType=properties["ResourceType"],
            TrafficType=properties.get("TrafficType", "ALL"),
            **{name: properties[name] for name in optional if name in properties},
            TagSpecifications=_tags(properties, "vpc-flow-log"),
        )
        flow_log_id = made["FlowLogIds"][0]
        return Resource(id=flow_log_id, attributes={"Id": flow_log_id})

    def delete(self, resource_id: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete the flow log."""
        self.ec2.delete_flow_logs(FlowLogIds=[resource_id])


HANDLERS: tuple[type[Handler], ...] = (Eip, NatGateway, SecurityGroupIngress, SecurityGroupEgress, FlowLog)
