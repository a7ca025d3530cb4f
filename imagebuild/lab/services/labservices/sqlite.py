"""Lets OpenStack's services share file-based SQLite databases among threads and processes without "database is locked".

Three things make the difference. Write-ahead logging: readers never block. A writing transaction begins IMMEDIATE: a deferred one that
reads first and writes after somebody else's commit fails at once, and no timeout helps. Reading transactions stay deferred:
placement opens a reader inside a writer, and two IMMEDIATE ones would wait for each other. Whether a transaction writes is known only
to oslo.db's enginefacade, hence the two wrapped private methods; the constraints pin oslo.db for that reason.
"""

import sqlite3
import threading
from typing import Any

import sqlalchemy
from oslo_db.sqlalchemy import enginefacade
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

BUSY_MILLISECONDS = 30_000
_keepers: dict[str, sqlite3.Connection] = {}
_keepers_lock = threading.Lock()


def install() -> None:
    """Hang the three things on every engine that this process makes from now on. Call it once, after the fork."""
    _mark_writers()
    sqlalchemy.event.listen(Engine, "connect", _prepare_connection)
    sqlalchemy.event.listen(Session, "after_begin", _begin_session)
    sqlalchemy.event.listen(Engine, "begin", _begin_connection)


def _prepare_connection(connection: Any, _record: Any) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    connection.isolation_level = None  # the transactions are ours
    connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
    connection.execute(
        "PRAGMA synchronous=NORMAL"
    )  # with WAL: a power cut may lose the last commits, never the database
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    if path:
        _keep_open(path)


def _keep_open(path: str) -> None:
    """One idle connection a file: oslo.db closes every connection after use, and the last close would fold the log away each time."""
    with _keepers_lock:
        if path in _keepers:
            return
        keeper = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        keeper.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        keeper.execute("PRAGMA journal_mode=WAL")
        keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()
        _keepers[path] = keeper


def _mark_writers() -> None:
    factory = enginefacade._TransactionFactory
    make_session, make_connection = factory._create_session, factory._create_connection

    def create_session(self: Any, mode: Any, *args: Any, **kwargs: Any) -> Any:
        session = make_session(self, mode, *args, **kwargs)
        session.info["lab_writer"] = mode is enginefacade._WRITER
        return session

    def create_connection(self: Any, mode: Any, *args: Any, **kwargs: Any) -> Any:
        connection = make_connection(self, mode, *args, **kwargs)
        if mode is enginefacade._WRITER and connection.dialect.name == "sqlite":
            connection.info["lab_immediate"] = True
        return connection

    factory._create_session = create_session
    factory._create_connection = create_connection


def _begin_session(session: Any, transaction: Any, connection: Any) -> None:
    if not session.info.get("lab_writer") or transaction.nested or connection.dialect.name != "sqlite":
        return
    raw = connection.connection.dbapi_connection
    if raw.in_transaction:  # the deferred BEGIN was sent already and holds nothing yet
        raw.execute("ROLLBACK")
    raw.execute("BEGIN IMMEDIATE")


def _begin_connection(connection: Any) -> None:
    immediate = connection.info.pop("lab_immediate", None)
    if connection.dialect.name == "sqlite" and immediate and "in_transaction" not in connection.info:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.info["in_transaction"] = True
