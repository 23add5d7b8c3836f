# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Archives of workflow definitions."""

from __future__ import annotations

import io
import zipfile

WDL = """version 1.0
# A brace in a comment: {
workflow align {
  input {
    Array[Pair[File, File]]+ reads
    File? known_sites
    Int threads = 4
    Map[String, Array[Int]] depths = {"a": [1, 2]}
    String sample
  }
  parameter_meta {
    reads: "Pairs of reads"
    sample: { description: "Name of the sample", category: "common" }
  }
  call bwa { input: reads = reads }
}
task bwa {
  input { Array[Pair[File, File]]+ reads File not_an_input_of_the_workflow }
  command <<< awk '{ print "}" }' ~{sep(" ", reads)} >>>
  output { File bam = "out.bam" }
}
"""


def archive(**files: str) -> bytes:
    """Return a ZIP archive; the file of ``a__main_wdl`` is ``a/main.wdl``, and a name with a dot is kept."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        for name, text in files.items():
            path = name if "." in name else name.replace("__", "/").replace("_", ".")
            opened.writestr(zipfile.ZipInfo(path), text)
    return made.getvalue()


ARCHIVE = archive(main_wdl="version 1.0\nworkflow w { }\n")
