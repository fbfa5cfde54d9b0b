"""Saved Logs Insights queries: the questions that support asks, ready to run."""

from aws_cdk import aws_logs as logs
from constructs import Construct

from stages.config import EnvironmentConfig

QUERIES = {
    "payment-story": """fields @timestamp, message, request_id, status, operation, outcome
| filter payment_id = 'pay_REPLACE_ME'
| sort @timestamp asc
| limit 500""",
    "slow-requests": """fields @timestamp, request_id, method, route, status, duration_ms, merchant_id
| filter duration_ms > 1000
| sort duration_ms desc
| limit 100""",
    "declines-by-code": """filter outcome = 'declined'
| stats count(*) as declines by decline_code, bin(1h)
| sort declines desc""",
}


class LogQueries(Construct):
    """The queries, over the logs of api and worker."""

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig) -> None:
        super().__init__(scope, construct_id)
        for name, text in QUERIES.items():
            logs.CfnQueryDefinition(
                self,
                "".join(part.title() for part in name.split("-")),
                name=config.names.name(f"query-{name}"),
                log_group_names=[config.names.api_logs, config.names.worker_logs],
                query_string=text,
            )
