"""Alembic, on a connection that `payments migrate` holds."""

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config

from payments.repositories.schema import MIGRATIONS


def alembic_config() -> Config:
    """Return Alembic's configuration, which needs no file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def upgrade(connection: psycopg.Connection) -> None:
    """Run every migration that is pending.

    Raises:
        psycopg.Error: A migration failed; nothing was changed.
    """
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=sqlalchemy.pool.StaticPool
    )
    connection.autocommit = False
    try:
        with engine.connect() as bound:
            config = alembic_config()
            config.attributes["connection"] = bound
            command.upgrade(config, "head")
            bound.commit()
    except sqlalchemy.exc.DBAPIError as error:
        raise (error.orig or error) from error
    finally:
        connection.rollback()
        connection.autocommit = True
