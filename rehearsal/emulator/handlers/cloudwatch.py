"""CloudWatch: composite alarms through the emulator's API; canaries and saved queries are records."""

from rehearsal.emulator.handlers.base import Handler, Properties, RecordedHandler, Request, Resource


class CompositeAlarm(Handler):
    """An alarm over other alarms."""

    type_name = "AWS::CloudWatch::CompositeAlarm"

    def create(self, request: Request) -> Resource:
        """Put the alarm."""
        name = request.name("AlarmName")
        optional = (
            "AlarmDescription",
            "AlarmActions",
            "OKActions",
            "InsufficientDataActions",
            "ActionsEnabled",
            "Tags",
        )
        self.account.session.client("cloudwatch").put_composite_alarm(
            AlarmName=name,
            AlarmRule=request.properties["AlarmRule"],
            **{key: request.properties[key] for key in optional if key in request.properties},
        )
        return Resource(id=name, attributes={"Arn": self.account.arn("cloudwatch", f"alarm:{name}")})

    def delete(self, resource_id: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete the alarm."""
        self.account.session.client("cloudwatch").delete_alarms(AlarmNames=[resource_id])


class QueryDefinition(RecordedHandler):
    """A saved log query."""

    type_name = "AWS::Logs::QueryDefinition"

    def identify(self, request: Request) -> Resource:
        """Return the query's name, which is unique here."""
        return Resource(id=request.properties["Name"], attributes={"QueryDefinitionId": request.properties["Name"]})


class Canary(RecordedHandler):
    """A canary; recorded, nothing probes by itself in a rehearsal."""

    type_name = "AWS::Synthetics::Canary"

    def identify(self, request: Request) -> Resource:
        """Return the canary's name."""
        return Resource(
            id=request.properties["Name"], attributes={"Id": request.properties["Name"], "State": "RUNNING"}
        )


HANDLERS: tuple[type[Handler], ...] = (CompositeAlarm, QueryDefinition, Canary)
