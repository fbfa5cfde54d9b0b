"""CloudWatch: alarms through the emulator's API; canaries and saved queries are records."""

from typing import Any

from rehearsal.emulator.handlers.api import to_api
from rehearsal.emulator.handlers.base import Handler, Properties, RecordedHandler, Request, Resource, ResourceError


class Alarm(Handler):
    """An alarm, over one metric or over an expression; the emulator's own handler refuses expressions."""

    type_name = "AWS::CloudWatch::Alarm"

    def create(self, request: Request) -> Resource:
        """Put the alarm."""
        cloudwatch = self.account.session.client("cloudwatch")
        properties = self._arguments(request)
        if not properties.get("Metrics") and not properties.get("MetricName"):
            raise ResourceError("An alarm needs MetricName and Namespace, or Metrics.")
        cloudwatch.put_metric_alarm(**to_api(cloudwatch, "PutMetricAlarm", properties))
        return self._resource(properties["AlarmName"])

    def delete(self, resource_id: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete the alarm."""
        self.account.session.client("cloudwatch").delete_alarms(AlarmNames=[resource_id])

    @staticmethod
    def _arguments(request: Request) -> dict[str, Any]:
        """Return the properties with a name, and without the tags that only CloudFormation itself may set."""
        tags = [tag for tag in request.properties.get("Tags", ()) if not tag["Key"].startswith("aws:")]
        return {**request.properties, "AlarmName": request.name("AlarmName"), "Tags": tags}

    def _resource(self, name: str) -> Resource:
        return Resource(id=name, attributes={"Arn": self.account.arn("cloudwatch", f"alarm:{name}")})


class CompositeAlarm(Alarm):
    """An alarm over other alarms."""

    type_name = "AWS::CloudWatch::CompositeAlarm"

    def create(self, request: Request) -> Resource:
        """Put the alarm."""
        cloudwatch = self.account.session.client("cloudwatch")
        properties = self._arguments(request)
        cloudwatch.put_composite_alarm(**to_api(cloudwatch, "PutCompositeAlarm", properties))
        return self._resource(properties["AlarmName"])


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


HANDLERS: tuple[type[Handler], ...] = (Alarm, CompositeAlarm, QueryDefinition, Canary)
