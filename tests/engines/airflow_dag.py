"""The DAG of tests/world/engines/large.rs: its one task says which process it is, and works until it is killed."""

import os
import pathlib
import time

from airflow.sdk import DAG, task

with DAG("work", schedule=None) as dag:

    @task
    def live():
        pathlib.Path(os.environ["AIRFLOW_HOME"], "task").write_text(f"{os.getpid()}\n")
        while True:
            time.sleep(1)

    live()
