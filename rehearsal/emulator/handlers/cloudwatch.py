"""CloudWatch: alarms through the emulator's API, saved queries as records."""

from rehearsal.emulator.core.api_shapes import to_api
from rehearsal.emulator.core.properties import Properties, ResourceError
from rehearsal.emulator.handlers.base import Handler, RecordedHandler, Request, Resource


class Alarm(Handler):
    """An alarm on a metric or on an expression; the emulator's own handler refuses expressions."""

    type_name = "AWS::CloudWatch::Alarm"

    def create(self, request: Request) -> Resource:
        """Put the alarm, without the tags that only CloudFormation may set."""
        if not request.properties.get("Metrics") and not request.properties.get("MetricName"):
            raise ResourceError("An alarm needs MetricName and Namespace, or Metrics.")
        name = request.name("AlarmName")
        tags = [tag for tag in request.properties.get("Tags", ()) if not tag["Key"].startswith("aws:")]
        cloudwatch = self.context.session.client("cloudwatch")
        properties = {**request.properties, "AlarmName": name, "Tags": tags}
        cloudwatch.put_metric_alarm(**to_api(cloudwatch, "PutMetricAlarm", properties))
        return Resource(id=name, attributes={"Arn": self.context.arn("cloudwatch", f"alarm:{name}")})

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Delete the alarm."""
        self.context.session.client("cloudwatch").delete_alarms(AlarmNames=[resource_id])


class QueryDefinition(RecordedHandler):
    """A saved query of CloudWatch Logs."""

    type_name = "AWS::Logs::QueryDefinition"

    def identify(self, request: Request) -> Resource:
        """Return the name of the query, which is unique here."""
        return Resource(id=request.properties["Name"], attributes={"QueryDefinitionId": request.properties["Name"]})
