# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The HealthOmics runs for the tests and pictures of the run page's states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from airflow_healthomics.testing import Control
from dev.trigger_form import WORKFLOW_NAME, planned_tasks

#: Seconds since the start of the runs.
ELAPSED: Final = 3 * 3600 + 420

#: Seconds in each state; None until the end of the tests.
QUICKLY: Final = {"PENDING": 40, "STARTING": 150, "STOPPING": 60}

WORKFLOWS: Final = {
    "1111111": ("nf-core/sarek", "NEXTFLOW"),
    "2222222": ("nf-core/rnaseq", "NEXTFLOW"),
    "3333333": (WORKFLOW_NAME, "WDL"),
    "4444444": ("vep-annotation", "WDL"),
    "5555555": ("joint-genotyping", "WDL"),
}

FAILED_TASK: Final = "NFCORE_SAREK:SAREK:PREPROCESSING:BWAMEM1_MEM (NA12878-L1)"
REASON: Final = "OUT_OF_MEMORY_ERROR"
CAUSE: Final = 'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space'

#: The cause is line 17 of 20.
LOG: Final = (
    "[M::bwa_idx_load_from_disk] read 0 ALT contigs",
    *(f"[M::process] read {800_000 + 37 * number:,} sequences (120000032 bp)..." for number in range(7)),
    *(f"[M::mem_process_seqs] Processed {800_000 + 37 * number:,} reads" for number in range(7)),
    "[main] Real time: 5193.221 sec; CPU: 61470.118 sec",
    CAUSE,
    "\tat htsjdk.samtools.SAMRecordSetBuilder.addRecord(SAMRecordSetBuilder.java:223)",
    "\tat picard.sam.SortSam.doWork(SortSam.java:165)",
    "Command exit status: 1",
)
ENGINE_LOG: Final = (
    "N E X T F L O W  ~  version 24.10.8",
    "Launching nf-core/sarek",
    f"Error executing process > '{FAILED_TASK}'",
    "Execution aborted due to an unexpected error",
)

SAMPLES: Final = ("NA12878", "NA12891", "NA12892", "NA24385", "NA24149", "NA24143")
LANES: Final = tuple(f"{sample}-L{lane}" for sample in SAMPLES for lane in range(1, 5))
SHARDS: Final = tuple(f"{sample}-chr{number}" for sample in SAMPLES[1:] for number in (1, 2, 3, 4))

#: Processes of nf-core/sarek: name, tags, minutes of start and duration, CPUs used and requested, and GiB.
SAREK: Final = (
    ("PREPARE_GENOME:BWAMEM1_INDEX", ("genome.fasta",), 0, 22, 1, 2, 7, 16),
    ("PREPARE_GENOME:SAMTOOLS_FAIDX", ("genome.fasta",), 0, 3, 1, 2, 1, 4),
    ("PREPARE_GENOME:GATK4_CREATESEQUENCEDICTIONARY", ("genome.fasta",), 0, 4, 1, 2, 2, 4),
    ("PREPARE_GENOME:TABIX_DBSNP", ("dbsnp_146.hg38.vcf",), 0, 6, 1, 2, 1, 4),
    ("PREPARE_GENOME:TABIX_KNOWN_INDELS", ("mills_1000G.hg38.vcf",), 0, 5, 1, 2, 1, 4),
    ("PREPARE_INTERVALS:CREATE_INTERVALS_BED", ("intervals",), 0, 2, 1, 2, 1, 4),
    ("PREPARE_INTERVALS:GATK4_INTERVALLISTTOBED", ("intervals",), 2, 2, 1, 2, 1, 4),
    ("FASTQC", LANES, 3, 12, 3, 4, 3, 8),
    ("PREPROCESSING:FASTP", LANES, 4, 17, 9, 16, 4, 32),
    ("PREPROCESSING:BWAMEM1_MEM", LANES, 23, 61, 21, 24, 9, 48),
    ("PREPROCESSING:GATK4_MARKDUPLICATES", SAMPLES[1:], 90, 18, 5, 8, 17, 32),
    ("PREPROCESSING:SAMTOOLS_STATS", SAMPLES[1:], 109, 7, 2, 4, 2, 8),
    ("PREPROCESSING:MOSDEPTH", SAMPLES[1:], 109, 9, 3, 4, 3, 8),
    ("PREPROCESSING:BASERECALIBRATOR", SHARDS, 109, 13, 2, 2, 5, 8),
    ("PREPROCESSING:APPLYBQSR", SHARDS[:7], 124, 8, 2, 2, 4, 8),
)

TASKS: Final = sum(len(tags) for _, tags, *_ in SAREK)

#: The same of nf-core/rnaseq.
RNASEQ: Final = (
    ("PREPARE_GENOME:GTF_FILTER", ("genes.gtf",), 0, 4, 1, 2, 2, 8),
    ("PREPARE_GENOME:STAR_GENOMEGENERATE", ("genome.fasta",), 4, 31, 12, 16, 34, 64),
    ("FASTQ_QC_TRIM_FILTER:TRIMGALORE", SAMPLES, 4, 16, 5, 8, 3, 32),
    ("ALIGN_STAR:STAR_ALIGN", SAMPLES, 36, 47, 15, 16, 37, 128),
    ("ALIGN_STAR:SAMTOOLS_SORT", SAMPLES, 84, 9, 5, 8, 11, 16),
    ("MARK_DUPLICATES_PICARD:PICARD_MARKDUPLICATES", SAMPLES, 94, 14, 2, 8, 18, 32),
    ("QUANTIFY_STAR_SALMON:SALMON_QUANT", SAMPLES, 94, 8, 6, 8, 6, 32),
    ("MULTIQC", ("all samples",), 110, 3, 1, 2, 3, 8),
)


def plan_runs(control: Control) -> None:
    """Plan the runs of the DAG ``cohort``."""
    for workflow_id, (name, engine) in WORKFLOWS.items():
        control.add_workflow(workflow_id, name=name, engine=engine)
    control.plan_run(
        workflow_id="1111111",
        status="FAILED",
        failure_reason="RUN_TASK_FAILED",
        engine_log=ENGINE_LOG,
        seconds=QUICKLY | {"RUNNING": 133 * 60},
        tasks=list(_tasks("NFCORE_SAREK:SAREK", SAREK)),
    )
    control.plan_run(
        workflow_id="2222222",
        seconds=QUICKLY | {"RUNNING": 113 * 60 + 20},
        tasks=list(_tasks("NFCORE_RNASEQ:RNASEQ", RNASEQ)),
    )
    control.plan_run(
        workflow_id="3333333",
        name="NA12878",
        seconds=QUICKLY | {"RUNNING": None},
        tasks=planned_tasks((ELAPSED - 190) / 0.87),
    )
    control.plan_run(workflow_id="4444444", seconds={"PENDING": None})
    control.plan_run(workflow_id="5555555", status="CANCELLED", seconds=QUICKLY | {"RUNNING": 1900})
    for number in range(1, 61):
        _plan_run_of_batch(control, number)


def _plan_run_of_batch(control: Control, number: int) -> None:
    failure = {7: REASON, 23: REASON, 38: "INPUT_URI_NOT_FOUND"}.get(number)
    running = None if number > 46 else 5400.0 + 911 * (number % 6)
    control.plan_run(
        run_setting_id=f"sample-{number:02}",
        status="FAILED" if failure else "COMPLETED",
        failure_reason=failure,
        seconds={"PENDING": None} if number > 56 else QUICKLY | {"RUNNING": 700 if failure else running},
    )


def _tasks(workflow: str, processes: Any) -> Iterator[dict[str, Any]]:
    """Yield the tasks of an nf-core workflow, each with a different duration."""
    for process, tags, after, minutes, cpus_used, cpus, memory_used, memory in processes:
        for number, tag in enumerate(tags):
            name = f"{workflow}:{process} ({tag})"
            failed = name == FAILED_TASK
            spread = 1 + (number * 7 % 11 - 5) / 40
            yield {
                "name": name,
                "after": 60.0 * after + 5 * number,
                "seconds": 60.0 * minutes * (1.18 if failed else spread),
                "cpus": cpus,
                "memory": memory,
                "instance_type": _instance_type(cpus, memory),
                "cpus_average": round(cpus_used * spread * 0.88, 2),
                "memory_maximum": float(memory if failed else min(memory, round(memory_used * spread, 1))),
                "failure_reason": REASON if failed else None,
                "log": LOG if failed else (),
            }


def _instance_type(cpus: int, memory: int) -> str:
    family = "c" if memory <= 2 * cpus else "m" if memory <= 4 * cpus else "r"
    size = {2: "large", 4: "xlarge", 8: "2xlarge", 16: "4xlarge"}.get(cpus, "8xlarge")
    return f"omics.{family}.{size}"
