# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""One test for each internal of miniwdl and cwltool that computed runs use: an upgrade fails here first."""

from __future__ import annotations

import inspect
import logging
from importlib.resources import files
from pathlib import Path

import cwltool.command_line_tool
import cwltool.context
import cwltool.executors
import cwltool.job
import cwltool.load_tool
import cwltool.process
import cwltool.workflow_job
import WDL
from WDL._util import NOTICE_LEVEL
from WDL.runtime import cache, config, task_container
from WDL.runtime.task import run_local_task
from WDL.runtime.workflow import run_local_workflow

from airflow_healthomics.testing.engine.process.engine_run.cwl import EXTENSIONS


def test_plugins_are_loaded_only_if_there_is_no_backend() -> None:
    """So a backend that is added before is the only one."""
    assert isinstance(task_container._backends, dict)
    assert "if not _backends:" in inspect.getsource(task_container.new)


def test_a_backend_has_one_method_for_the_command() -> None:
    """It gets the logger, whether the run is being ended, and the command."""
    parameters = inspect.signature(task_container.TaskContainer._run).parameters
    assert list(parameters) == ["self", "logger", "terminating", "command"]
    assert "os.makedirs(self.host_work_dir())" in inspect.getsource(task_container.TaskContainer.reset)


def test_a_run_accepts_a_cache() -> None:
    """Without the thread pools that only inner workflows get."""
    assert "_cache" in inspect.signature(run_local_workflow).parameters
    assert "assert cache and _thread_pools is None" in inspect.getsource(run_local_workflow)


def test_a_task_with_outputs_is_put_into_the_cache(tmp_path: Path) -> None:
    """Also if nothing is stored, with the directory of the task."""
    assert "cache.put(" in inspect.getsource(run_local_task)
    assert {"run_dir", "inputs", "add_paths"} <= inspect.signature(cache.CallCache.put).parameters.keys()
    made = cache.CallCache(config.Loader(logging.getLogger("test"), []), logging.getLogger("test"))
    assert isinstance(made._entry_add_paths, dict)
    assert isinstance(made._call_cache_dir, str)


def test_the_key_of_a_task_begins_with_its_name_and_digest() -> None:
    """By which the cache recognizes tasks."""
    assert cache.call_cache_key("align", "abc", WDL.Env.Bindings()).startswith("align/abc/")


def test_the_values_of_inputs_are_logged_below_notice() -> None:
    """Lines of a lower level stay in the working directory."""
    assert NOTICE_LEVEL > logging.INFO
    source = inspect.getsource(inspect.getmodule(run_local_task)._eval_task_inputs)  # type: ignore[union-attr]
    assert 'logger.info(_("input"' in source
    assert 'logger.notice(_("input"' not in source


def test_a_cwl_tool_names_the_class_of_its_jobs() -> None:
    """By a method, so that a tool of ours can choose another one; parts of a workflow are made by a hook."""
    tool = cwltool.command_line_tool.CommandLineTool
    assert list(inspect.signature(tool.make_job_runner).parameters) == ["self", "runtimeContext"]
    assert "self.make_job_runner(runtimeContext)" in inspect.getsource(tool.job)
    assert "construct_tool_object" in inspect.getsource(cwltool.load_tool)


def test_a_cwl_tool_makes_its_jobs_from_inputs() -> None:
    """A method evaluates the inputs before, without directories if they are given."""
    tool = cwltool.command_line_tool.CommandLineTool
    parameters = ["self", "job_order", "output_callbacks", "runtimeContext"]
    assert list(inspect.signature(tool.job).parameters) == parameters
    assert list(inspect.signature(tool._init_job).parameters) == ["self", "joborder", "runtime_context"]
    for name in ("outdir", "tmpdir", "stagedir"):
        assert f"if self.{name}:" in inspect.getsource(getattr(cwltool.context.RuntimeContext, f"get_{name}"))


def test_a_cwl_tool_keeps_its_requirements() -> None:
    """As they are in the definition."""
    source = inspect.getsource(cwltool.process.Process.__init__)
    assert "self.original_requirements = copy.deepcopy(self.requirements)" in source
    assert "self.original_hints = copy.deepcopy(self.hints)" in source


def test_a_step_without_jobs_may_be_complete() -> None:
    """Its callback counts as progress, as that of a cache hit."""
    assert "self.made_progress = True" in inspect.getsource(cwltool.workflow_job.WorkflowJob.receive_output)


def test_an_unnamed_stream_has_the_name_of_a_digest() -> None:
    """Of the definition, whose path is in it."""
    source = inspect.getsource(cwltool.load_tool._convert_stdstreams_to_files)
    assert "hashlib.sha1(" in source
    assert ").hexdigest()" in source


def test_a_schema_has_the_extensions_of_cwltool() -> None:
    """If it is chosen; its files are in the package."""
    assert list(inspect.signature(cwltool.process.use_custom_schema).parameters) == [
        "version",
        "name",
        "text",
    ]
    for name in EXTENSIONS.values():
        assert "CUDARequirement" in files("cwltool").joinpath(name).read_text()


def test_a_cwl_job_checks_the_gpus_of_its_builder() -> None:
    """Whose requirements are lists that can be replaced."""
    source = inspect.getsource(cwltool.job.JobBase._setup)
    assert 'self.builder.get_requirement("http://commonwl.org/cwltool#CUDARequirement")' in source


def test_a_cwl_job_is_monitored_by_a_method() -> None:
    """It gets the process before cwltool waits for it, and waits itself."""
    job = cwltool.job.CommandLineJob
    assert "self.process_monitor" in inspect.getsource(job.run)
    assert list(inspect.signature(job.process_monitor).parameters) == ["self", "sproc"]
    source = inspect.getsource(cwltool.job._job_popen)
    assert source.index("monitor_function(sproc)") < source.index("rcode = sproc.wait()")
    assert "default_stderr" in source


def test_the_cwl_executor_selects_resources() -> None:
    """Of minima and maxima; it has the limits of this machine as attributes."""
    executor = cwltool.executors.MultithreadedJobExecutor()
    assert executor.max_cores >= 1
    assert executor.max_ram > 0
    assert executor.max_cuda >= 0
    assert list(inspect.signature(executor.select_resources).parameters) == ["request", "runtime_context"]
