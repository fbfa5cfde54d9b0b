"""Saved Logs Insights queries, for support and people on call.

The fields are those that the service logs; tests run its handlers and each query on the resulting log lines.
"""

from collections.abc import Mapping

from aws_cdk import aws_logs as logs
from constructs import Construct

from stages.config.environment import EnvironmentConfig

#: Query strings by the middle of the name: `payment-story` becomes `query-payment-story-dev`.
QUERIES: Mapping[str, str] = {
    "payment-story": """fields @timestamp, process, message, method, route, status, operation, outcome, decline_code,
    payment_status, attempt_id, event_type, status_code, request_id
| filter payment_id = 'pay_REPLACE_ME'
| sort @timestamp asc
| limit 500""",
    "request-story": """fields @timestamp, level, message, method, route, status, problem, duration_ms, merchant_id,
    exception
| filter request_id = 'req_REPLACE_ME'
| sort @timestamp asc
| limit 50""",
    "key-story": """fields @timestamp, request_id, method, route, status, problem, payment_id, operation, payment_status
| filter api_key_id = 'key_REPLACE_ME'
| sort @timestamp asc
| limit 500""",
    "failed-requests": """fields @timestamp, request_id, method, route, status, problem, duration_ms, merchant_id
| filter message = 'request' and status >= 500
| sort @timestamp desc
| limit 100""",
    "slow-requests": """fields @timestamp, request_id, method, route, status, duration_ms, spans_ms.processor,
    spans_ms.database, merchant_id, payment_id
| filter message = 'request' and duration_ms > 1000
| sort duration_ms desc
| limit 100""",
    "declines-by-code": """filter outcome = 'declined'
| stats count(*) as declines by decline_code, operation, bin(1h)
| sort declines desc""",
    "recovery": """fields @timestamp, message, payment_id, attempt_id, operation, outcome, reason, exception
| filter message like /^attempt / or message = 'the processor refuses our configuration'
| sort @timestamp desc
| limit 200""",
    "failed-webhooks": """filter message = 'webhook pending' or message = 'webhook failed'
| stats count(*) as tries, latest(event) as last_event by webhook_endpoint, status_code, reason
| sort tries desc
| limit 100""",
    "ledger-seals": """fields @timestamp, seal, head, transfers
| filter message = 'ledger sealed'
| sort @timestamp desc
| limit 20""",
}


class LogQueries(Construct):
    """The queries, on the logs of api and worker."""

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
