"""CloudWatch: alarms through the emulator's API; canaries and saved queries are records."""

from typing import Any

from rehearsal.emulator.handlers.api import to_api
from rehearsal.emulator.handlers.base import Handler, Properties, RecordedHandler, Request, Resource, ResourceError
from rehearsal.emulator.handlers.wrapping import WrappingHandler, with_properties


class MetricAlarm(WrappingHandler):
    """An alarm over `Metrics`, which the emulator takes only as a single metric.

    One metric is translated exactly. Of an expression the first metric is kept: the alarm is listed, renamed and
    deleted like any other, but the emulator cannot evaluate the expression.
    """

    type_name = "AWS::CloudWatch::Alarm"

    def create(self, request: Request) -> Resource:
        """Put the alarm."""
        return super().create(with_properties(request, _single_metric(request.properties)))

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Change the alarm."""
        return super().update(
            resource_id, _single_metric(old), with_properties(request, _single_metric(request.properties))
        )


def _single_metric(properties: Properties) -> Properties:
    """The properties of an alarm with `Metrics` in the form of an alarm over one metric."""
    if "Metrics" not in properties:
        return properties
    stat: dict[str, Any] = next(metric["MetricStat"] for metric in properties["Metrics"] if "MetricStat" in metric)
    kind = (
        "Statistic" if stat["Stat"] in ("Average", "Maximum", "Minimum", "SampleCount", "Sum") else "ExtendedStatistic"
    )
    rest = {name: value for name, value in properties.items() if name != "Metrics"}
    return {**rest, **stat["Metric"], "Period": stat["Period"], kind: stat["Stat"]}


class Alarm(Handler):
    """An alarm, over one metric or over an expression; the emulator's own handler refuses expressions."""

    type_name = "AWS::CloudWatch::Alarm"

    def create(self, request: Request) -> Resource:
        """Put the alarm."""
        cloudwatch = self.account.session.client("cloudwatch")
        properties = {**request.properties, "AlarmName": request.name("AlarmName")}
        if not properties.get("Metrics") and not properties.get("MetricName"):
            raise ResourceError("An alarm needs MetricName and Namespace, or Metrics.")
        cloudwatch.put_metric_alarm(**to_api(cloudwatch, "PutMetricAlarm", properties))
        return self._resource(properties["AlarmName"])

    def delete(self, resource_id: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete the alarm."""
        self.account.session.client("cloudwatch").delete_alarms(AlarmNames=[resource_id])

    def _resource(self, name: str) -> Resource:
        return Resource(id=name, attributes={"Arn": self.account.arn("cloudwatch", f"alarm:{name}")})


class CompositeAlarm(Alarm):
    """An alarm over other alarms."""

    type_name = "AWS::CloudWatch::CompositeAlarm"

    def create(self, request: Request) -> Resource:
        """Put the alarm."""
        cloudwatch = self.account.session.client("cloudwatch")
        properties = {**request.properties, "AlarmName": request.name("AlarmName")}
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


HANDLERS: tuple[type[Handler], ...] = (CompositeAlarm, MetricAlarm, QueryDefinition, Canary)
