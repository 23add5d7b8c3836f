# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A metadata database of Airflow 3.1 and later, for code that runs in the API server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow import settings
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from sqlalchemy import update

from tests.unit.conftest import DAG_RUN_ID

DAG_ID = "patients"
NOW = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)


@contextmanager
def metadata_database(directory: Path) -> Iterator[None]:
    """Give this process its own metadata database, and the role of an API server."""
    before = settings.SQL_ALCHEMY_CONN
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"sqlite:///{directory / 'airflow.db'}")
        patch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(directory / "passwords.json"))
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "a secret of the tests " * 4)
        settings.configure_vars()
        settings.dispose_orm(do_log=False)
        settings.configure_orm()
        import_all_models()
        Base.metadata.create_all(settings.engine)
        yield
        settings.dispose_orm(do_log=False)
    assert before
    settings.configure_vars()
    settings.configure_orm()


def clear() -> None:
    """Delete every DAG and its rows."""
    with create_session() as session:
        for model in (
            XComModel,
            RenderedTaskInstanceFields,
            TaskInstance,
            DagRun,
            SerializedDagModel,
            DagVersion,
            DagModel,
            DagBundleModel,
        ):
            session.query(model).delete()


class StoredTasks:
    """
    Task instances of a DAG run in the metadata database.

    :param dag_id: id of the DAG
    :param run_id: id of the DAG run
    """

    def __init__(self, dag_id: str = DAG_ID, run_id: str = DAG_RUN_ID) -> None:
        self.dag = DAG(dag_id, schedule=None)
        self.run_id = run_id
        self.dag_run_id: Any = None
        self._version: Any = None

    def add(
        self,
        task: Any,
        *,
        map_index: int = -1,
        state: str | None = "running",
        xcoms: dict[str, Any] | None = None,
        rendered: dict[str, Any] | None = None,
    ) -> Any:
        """Add a task instance with its XComs and rendered fields."""
        with create_session() as session:
            if self.dag_run_id is None:
                self._add_dag_run(session)
            serialized = session.query(SerializedDagModel).filter_by(dag_version_id=self._version).one()
            instance = TaskInstance(
                serialized.dag.get_task(task.task_id),
                run_id=self.run_id,
                map_index=map_index,
                state=state,
                dag_version_id=self._version,
            )
            session.add(instance)
            session.flush()
            for name, value in (xcoms or {}).items():
                session.add(self._xcom(task, map_index, name, value))
            if rendered is not None:
                fields = RenderedTaskInstanceFields.__table__
                session.execute(
                    fields.insert().values(
                        dag_id=self.dag.dag_id,
                        task_id=task.task_id,
                        run_id=self.run_id,
                        map_index=map_index,
                        rendered_fields=rendered,
                    )
                )

    def set_rendered(self, task_id: str, rendered: dict[str, Any]) -> None:
        """Replace the rendered fields of a task instance that is not mapped."""
        with create_session() as session:
            session.query(RenderedTaskInstanceFields).filter_by(task_id=task_id, map_index=-1).update(
                {"rendered_fields": rendered}
            )

    def push(self, task: Any, key: str, value: Any) -> None:
        """Add an XCom of a task instance that is not mapped."""
        with create_session() as session:
            session.add(self._xcom(task, -1, key, value))

    def update(self, **values: Any) -> None:
        """Change all task instances."""
        with create_session() as session:
            table: Any = TaskInstance.__table__
            session.execute(update(table).values(**values))

    def _xcom(self, task: Any, map_index: int, key: str, value: Any) -> XComModel:
        return XComModel(
            dag_run_id=self.dag_run_id,
            task_id=task.task_id,
            map_index=map_index,
            key=key,
            dag_id=self.dag.dag_id,
            run_id=self.run_id,
            value=value,
        )

    def _add_dag_run(self, session: Any) -> None:
        dag_id = self.dag.dag_id
        session.merge(DagBundleModel(name="a_bundle"))
        session.flush()
        session.merge(DagModel(dag_id=dag_id, bundle_name="a_bundle", fileloc="x.py"))
        session.flush()
        SerializedDagModel.write_dag(LazyDeserializedDAG.from_dag(self.dag), "a_bundle", session=session)
        session.flush()
        version: Any = DagVersion.get_latest_version(dag_id, session=session)
        self._version = version.id
        dag_run = DagRun(
            dag_id=dag_id,
            run_id=self.run_id,
            run_after=NOW,
            run_type="manual",
            state=DagRunState.RUNNING,
        )
        session.add(dag_run)
        session.flush()
        self.dag_run_id = dag_run.id
