"""The DAG of tests/world/engines/large.rs: its one task works until it is killed."""

import time

from airflow.sdk import DAG, task

with DAG("work", schedule=None) as dag:

    @task
    def live():
        while True:
            time.sleep(1)

    live()
