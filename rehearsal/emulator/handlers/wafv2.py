"""WAFv2: which resource a web ACL protects, and where it logs."""

from rehearsal.emulator.handlers.base import Handler, Properties, RecordedHandler, Request, Resource, ResourceError


class WebAclAssociation(Handler):
    """A web ACL in front of a load balancer."""

    type_name = "AWS::WAFv2::WebACLAssociation"

    def create(self, request: Request) -> Resource:
        """Associate the web ACL."""
        acl, resource = request.properties["WebACLArn"], request.properties["ResourceArn"]
        self.account.session.client("wafv2").associate_web_acl(WebACLArn=acl, ResourceArn=resource)
        return Resource(id=f"{acl}|{resource}")

    def delete(self, resource_id: str, properties: Properties) -> None:  # noqa: ARG002
        """Dissociate the web ACL."""
        self.account.session.client("wafv2").disassociate_web_acl(ResourceArn=properties["ResourceArn"])


class LoggingConfiguration(RecordedHandler):
    """Where a web ACL logs; Ref gives the web ACL's ARN."""

    type_name = "AWS::WAFv2::LoggingConfiguration"

    def identify(self, request: Request) -> Resource:
        """Return the web ACL's ARN."""
        return Resource(id=request.properties["ResourceArn"])

    def check(self, properties: Properties) -> None:
        """Refuse a destination that WAF refuses: its name has to start with `aws-waf-logs-`."""
        for destination in properties["LogDestinationConfigs"]:
            name = str(destination).removesuffix(":*").rsplit(":", 1)[-1].rsplit("/", 1)[-1]
            if not name.startswith("aws-waf-logs-"):
                raise ResourceError(
                    f"The ARN isn't valid: a log destination must be named aws-waf-logs-...: {destination}"
                )


HANDLERS: tuple[type[Handler], ...] = (WebAclAssociation, LoggingConfiguration)
