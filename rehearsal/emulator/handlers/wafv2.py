"""WAFv2: web ACLs, which resource one protects, and where it logs."""

from rehearsal.emulator.control import ControlError
from rehearsal.emulator.handlers.base import (
    Account,
    Handler,
    Properties,
    RecordedHandler,
    Request,
    Resource,
    ResourceError,
)
from rehearsal.emulator.handlers.wrapping import WrappingHandler


def _stand_in_front(account: Account) -> None:
    """Have the compute runtime put web ACLs in front of its load balancers; `ResourceError` when one cannot be."""
    try:
        account.control.put("load-balancers")
    except ControlError as error:
        raise ResourceError(str(error)) from error


class WebAcl(WrappingHandler):
    """A web ACL; a change of it is in force at once."""

    type_name = "AWS::WAFv2::WebACL"

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Change the web ACL, wherever it stands."""
        changed = super().update(resource_id, old, request)
        _stand_in_front(self.account)
        return changed


class WebAclAssociation(Handler):
    """A web ACL in front of a load balancer."""

    type_name = "AWS::WAFv2::WebACLAssociation"

    def create(self, request: Request) -> Resource:
        """Associate the web ACL."""
        acl, resource = request.properties["WebACLArn"], request.properties["ResourceArn"]
        self.account.session.client("wafv2").associate_web_acl(WebACLArn=acl, ResourceArn=resource)
        try:
            _stand_in_front(self.account)
        except ResourceError:
            self.delete("", request.properties)
            raise
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


HANDLERS: tuple[type[Handler], ...] = (WebAcl, WebAclAssociation, LoggingConfiguration)
