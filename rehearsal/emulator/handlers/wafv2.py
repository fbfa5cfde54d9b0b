"""WAFv2: web ACLs, their associations and their logging configurations."""

from rehearsal.emulator.core.properties import Properties, ResourceError
from rehearsal.emulator.core.runtime_client import RuntimeCallError
from rehearsal.emulator.handlers.base import (
    Handler,
    HandlerContext,
    RecordedHandler,
    Request,
    Resource,
    WrappingHandler,
)


def _apply_web_acls(context: HandlerContext) -> None:
    """Have the container runtime apply the web ACLs of its load balancers."""
    try:
        context.runtime.put("load-balancers")
    except RuntimeCallError as error:
        raise ResourceError(str(error)) from error


class WebAcl(WrappingHandler):
    """A web ACL; an update takes effect immediately."""

    type_name = "AWS::WAFv2::WebACL"

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Update the web ACL wherever it is associated."""
        resource = super().update(resource_id, old, request)
        _apply_web_acls(self.context)
        return resource


class WebAclAssociation(Handler):
    """The association of a web ACL with a load balancer."""

    type_name = "AWS::WAFv2::WebACLAssociation"

    def create(self, request: Request) -> Resource:
        """Associate the web ACL."""
        acl, resource = request.properties["WebACLArn"], request.properties["ResourceArn"]
        self.context.session.client("wafv2").associate_web_acl(WebACLArn=acl, ResourceArn=resource)
        try:
            _apply_web_acls(self.context)
        except ResourceError:
            self.delete("", request.properties)
            raise
        return Resource(id=f"{acl}|{resource}")

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Disassociate the web ACL."""
        self.context.session.client("wafv2").disassociate_web_acl(ResourceArn=properties["ResourceArn"])


class LoggingConfiguration(RecordedHandler):
    """The log destinations of a web ACL; Ref returns the ARN of the web ACL."""

    type_name = "AWS::WAFv2::LoggingConfiguration"

    def identify(self, request: Request) -> Resource:
        """Return the ARN of the web ACL."""
        return Resource(id=request.properties["ResourceArn"])

    def validate(self, properties: Properties) -> None:
        """Refuse a destination whose name does not start with `aws-waf-logs-`, as WAF does."""
        for destination in properties["LogDestinationConfigs"]:
            name = str(destination).removesuffix(":*").rsplit(":", 1)[-1].rsplit("/", 1)[-1]
            if not name.startswith("aws-waf-logs-"):
                raise ResourceError(
                    f"The ARN isn't valid: a log destination must be named aws-waf-logs-...: {destination}"
                )
