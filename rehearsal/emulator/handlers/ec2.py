"""EC2: addresses, NAT gateways, security-group rules and flow logs, through the emulator's API."""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from rehearsal.emulator.core.properties import Properties, ResourceError
from rehearsal.emulator.handlers.base import Handler, Request, Resource

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
        return self.context.session.client("ec2")


class Eip(_Ec2Handler):
    """An Elastic IP address; Ref returns the address."""

    type_name = "AWS::EC2::EIP"

    def create(self, request: Request) -> Resource:
        """Allocate an address."""
        address = self.ec2.allocate_address(Domain="vpc", TagSpecifications=_tags(request.properties, "elastic-ip"))
        attributes = {"AllocationId": address["AllocationId"], "PublicIp": address["PublicIp"]}
        return Resource(id=address["PublicIp"], attributes=attributes)

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Release the address."""
        for address in self.ec2.describe_addresses()["Addresses"]:
            if address["PublicIp"] == resource_id:
                self.ec2.release_address(AllocationId=address["AllocationId"])


class NatGateway(_Ec2Handler):
    """A public NAT gateway."""

    type_name = "AWS::EC2::NatGateway"

    def create(self, request: Request) -> Resource:
        """Create the gateway."""
        properties = request.properties
        if not properties.get("AllocationId"):
            raise ResourceError("A public NAT gateway needs an AllocationId.")
        gateway_id = self.ec2.create_nat_gateway(
            SubnetId=properties["SubnetId"],
            AllocationId=properties["AllocationId"],
            TagSpecifications=_tags(properties, "natgateway"),
        )["NatGateway"]["NatGatewayId"]
        return Resource(id=gateway_id, attributes={"NatGatewayId": gateway_id})

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Delete the gateway."""
        self.ec2.delete_nat_gateway(NatGatewayId=resource_id)


class _SecurityGroupRule(_Ec2Handler):
    """A security-group rule; Ref returns its id."""

    direction: ClassVar[Literal["Source", "Destination"]]

    def create(self, request: Request) -> Resource:
        """Add the rule to its group; EC2 refuses a duplicate."""
        group = request.properties["GroupId"]
        existing = self._rule_ids(group)
        rule_id = self._authorize(group, self._permission(request.properties))
        if rule_id in existing:
            raise ResourceError(f"the specified rule already exists in security group {group} ({rule_id})")
        return Resource(id=rule_id, attributes={"Id": rule_id})

    def _rule_ids(self, group: str) -> set[str]:
        rules = self.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
        return {rule["SecurityGroupRuleId"] for rule in rules["SecurityGroupRules"]}

    def _permission(self, properties: Properties) -> "IpPermissionTypeDef":
        permission: dict[str, object] = {"IpProtocol": str(properties["IpProtocol"])}
        permission |= {port: int(properties[port]) for port in ("FromPort", "ToPort") if port in properties}
        description = {"Description": properties["Description"]} if properties.get("Description") else {}
        peers = {
            "CidrIp": ("IpRanges", "CidrIp"),
            f"{self.direction}SecurityGroupId": ("UserIdGroupPairs", "GroupId"),
        }
        for name, (kind, member) in peers.items():
            if properties.get(name):
                permission[kind] = [{member: properties[name], **description}]
                return cast("IpPermissionTypeDef", permission)
        raise ResourceError(f"{self.type_name} needs one of {', '.join(peers)}; others are not emulated.")

    @abstractmethod
    def _authorize(self, group: str, permission: "IpPermissionTypeDef") -> str:
        """Add a permission to a group and return the id of the rule."""


class SecurityGroupIngress(_SecurityGroupRule):
    """An inbound rule."""

    type_name = "AWS::EC2::SecurityGroupIngress"
    direction = "Source"

    def _authorize(self, group: str, permission: "IpPermissionTypeDef") -> str:
        response = self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
        return response["SecurityGroupRules"][0]["SecurityGroupRuleId"]

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Remove the rule from its group."""
        self.ec2.revoke_security_group_ingress(GroupId=properties["GroupId"], SecurityGroupRuleIds=[resource_id])


class SecurityGroupEgress(_SecurityGroupRule):
    """An outbound rule."""

    type_name = "AWS::EC2::SecurityGroupEgress"
    direction = "Destination"

    def _authorize(self, group: str, permission: "IpPermissionTypeDef") -> str:
        response = self.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[permission])
        return response["SecurityGroupRules"][0]["SecurityGroupRuleId"]

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Remove the rule from its group."""
        self.ec2.revoke_security_group_egress(GroupId=properties["GroupId"], SecurityGroupRuleIds=[resource_id])


class FlowLog(_Ec2Handler):
    """A flow log of a VPC."""

    type_name = "AWS::EC2::FlowLog"

    def create(self, request: Request) -> Resource:
        """Create the flow log."""
        properties = request.properties
        optional = ("LogGroupName", "LogDestinationType", "DeliverLogsPermissionArn")
        response = self.ec2.create_flow_logs(
            ResourceIds=[properties["ResourceId"]],
            ResourceType=properties["ResourceType"],
            TrafficType=properties["TrafficType"],
            **{name: properties[name] for name in optional if name in properties},
            TagSpecifications=_tags(properties, "vpc-flow-log"),
        )
        flow_log_id = response["FlowLogIds"][0]
        return Resource(id=flow_log_id, attributes={"Id": flow_log_id})

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Delete the flow log."""
        self.ec2.delete_flow_logs(FlowLogIds=[resource_id])
