"""What a job gets to do, and following it over a bad connection; on a real cluster: tests/ray."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientError
from ray.job_submission import JobStatus

from rayatari import jobs
from rayatari.errors import UserError

HERE, FAR = "http://127.0.0.1:8265", "http://head.example:8265"


class BadConnection:
    """Answers of a cluster whose connection breaks in the middle of the output, and at last for good."""

    def __init__(self, breaks: int) -> None:
        self.breaks = breaks

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        """The whole output from its start, as Ray sends it on every connection."""
        for number, text in enumerate(("one\ntwo\n", "three\n", "four\n")):
            if self.breaks and number == 2:
                self.breaks -= 1
                raise ClientError("away")
            yield text

    def get_job_status(self, job: str) -> JobStatus:
        return JobStatus.SUCCEEDED


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.01)


def test_output_is_printed_once_over_a_connection_that_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(jobs._follow(BadConnection(breaks=3), "job"))
    assert capsys.readouterr().out == "one\ntwo\nthree\nfour\n"


def test_a_cluster_that_is_gone_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LOST_SECONDS", -1.0)
    with pytest.raises(UserError, match="may still run"):
        asyncio.run(jobs._follow(BadConnection(breaks=1000), "job"))


def test_a_job_writes_where_its_artifacts_outlive_it(tmp_path: Path) -> None:
    assert jobs.job_words(["record"], HERE) == ["record", f"runs={Path('runs').resolve()}"]
    assert jobs.job_words(["record", f"runs={tmp_path}"], FAR)[-1] == f"runs={tmp_path}"
    with pytest.raises(UserError, match="runs=DIR"):
        jobs.job_words(["record"], FAR)
    assert jobs.job_words(["games"], FAR) == ["games"]


def test_the_environment_is_that_of_the_file_and_the_working_folder(tmp_path: Path) -> None:
    settings = jobs.JobSettings(working_dir=tmp_path)
    assert jobs.job_environment(settings) == {"working_dir": str(tmp_path)}
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "runtime_env.yaml").write_text("env_vars: {A: '1'}\n")
    assert jobs.job_environment(settings) == {"working_dir": str(tmp_path), "env_vars": {"A": "1"}}
    (tmp_path / "cluster" / "runtime_env.yaml").write_text("- a\n")
    with pytest.raises(UserError, match="key: value"):
        jobs.job_environment(settings)
