"""Brings a database to one revision of Meltano's own migrations: migrate.py URI REVISION"""
import sys

import sqlalchemy
from alembic import command
from alembic.config import Config
from meltano.migrations import MIGRATION_DIR

uri, revision = sys.argv[1:]
with sqlalchemy.create_engine(uri).begin() as connection:
    config = Config()
    config.attributes["connection"] = connection
    config.set_main_option("script_location", str(MIGRATION_DIR))
    command.upgrade(config, revision)
