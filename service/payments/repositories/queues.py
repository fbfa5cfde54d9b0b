"""What is due in the queues that the worker serves, asked all at once: most of the time, nothing is."""

from payments.repositories.connection import Connection, Reply
from payments.repositories.cursors import STABLE
from payments.repositories.webhook_messages import WAITING_ENDPOINTS


def due(tx: Connection) -> Reply:
    """Ask for the names of the queues in which something is due, whichever processor it concerns.

    They are ``recovery``, ``events`` (of processors), ``webhook_fan_out`` and ``webhook_delivery``. Each is named by
    the condition under which whoever serves it would find something, or a wider one. `now()` is what an index can be
    searched by; without parameters, the statement is planned once per connection, which takes longer than executing it.
    """
    return tx.queue(
        f"""
        SELECT 'recovery' AS queue WHERE EXISTS (
            SELECT FROM attempts WHERE status = 'open' AND next_look_at <= now())
        UNION ALL
        SELECT 'events' WHERE EXISTS (SELECT FROM processor_inbox WHERE state = 'open' AND next_look_at <= now())
        UNION ALL
        SELECT 'webhook_fan_out' WHERE EXISTS (SELECT FROM webhook_backlogs) OR EXISTS (
            SELECT FROM cursors CROSS JOIN LATERAL (
                SELECT FROM events WHERE (xid, id) > (cursors.xid, cursors.id) AND events.{STABLE}
                ORDER BY xid, id LIMIT 1) AS first
            WHERE name = 'outbox')
        UNION ALL
        SELECT 'webhook_delivery' WHERE EXISTS (
            WITH RECURSIVE {WAITING_ENDPOINTS}
            SELECT FROM waiting CROSS JOIN LATERAL (
                SELECT FROM webhook_messages AS message WHERE message.endpoint_id = waiting.endpoint_id
                    AND status = 'pending' AND next_attempt_at <= now() LIMIT 1) AS first)
        """  # noqa: S608 - constant text only
    )
