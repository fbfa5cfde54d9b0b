"""What is due in the queues that the worker serves, asked all at once: most of the time, nothing is."""

from collections.abc import Sequence

from payments.repositories.connection import Connection, Reply
from payments.repositories.cursors import STABLE


def due(tx: Connection, processors: Sequence[str]) -> Reply:
    """Ask for the names of the queues in which something is due.

    They are ``recovery_NAME`` and ``events_NAME`` of each of the ``processors``, ``webhook_fan_out`` and
    ``webhook_delivery``. Each is named by the condition under which whoever serves it would find something, or a wider
    one. A limit keeps the planner from joining whole tables, and `now()` is what an index can be searched by.
    """
    return tx.queue(
        f"""
        SELECT 'recovery_' || name AS queue FROM unnest(%(processors)s::text[]) AS name CROSS JOIN LATERAL (
            SELECT FROM attempts WHERE status = 'open' AND next_look_at <= now() AND processor = name LIMIT 1) AS first
        UNION ALL
        SELECT 'events_' || name FROM unnest(%(processors)s::text[]) AS name CROSS JOIN LATERAL (
            SELECT FROM processor_inbox WHERE processor = name AND state = 'open' AND next_look_at <= now() LIMIT 1
        ) AS first
        UNION ALL
        SELECT 'webhook_fan_out' WHERE EXISTS (SELECT FROM webhook_backlogs) OR EXISTS (
            SELECT FROM cursors CROSS JOIN LATERAL (
                SELECT FROM events WHERE (xid, id) > (cursors.xid, cursors.id) AND events.{STABLE}
                ORDER BY xid, id LIMIT 1) AS first
            WHERE name = 'outbox')
        UNION ALL
        SELECT 'webhook_delivery' WHERE EXISTS (
            WITH RECURSIVE waiting (endpoint_id) AS (  -- endpoints with something pending, by skipping along the index
                SELECT min(endpoint_id) FROM webhook_messages WHERE status = 'pending'
                UNION ALL
                SELECT (SELECT min(endpoint_id) FROM webhook_messages
                        WHERE status = 'pending' AND endpoint_id > waiting.endpoint_id)
                FROM waiting WHERE endpoint_id IS NOT NULL
            )
            SELECT FROM waiting CROSS JOIN LATERAL (
                SELECT FROM webhook_messages AS message WHERE message.endpoint_id = waiting.endpoint_id
                    AND status = 'pending' AND next_attempt_at <= now() LIMIT 1) AS first)
        """,  # noqa: S608 - column names only
        {"processors": list(processors)},
    )
