# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What Airflow reads about this provider; imports nothing, since every Airflow process calls it."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """
    Return the provider's description in the form of Airflow's ``provider_info.schema.json``.

    It has no connection type, as connections are those of the amazon provider, and no notifications. The
    plugin has an entry point instead: Airflow reports one that it finds twice as an error.
    """
    return {
        "package-name": "airflow-provider-healthomics",
        "name": "AWS HealthOmics",
        "description": "`AWS HealthOmics <https://aws.amazon.com/healthomics/>`__ runs genomics workflows.",
        "integrations": [
            {
                "integration-name": "AWS HealthOmics",
                "external-doc-url": "https://docs.aws.amazon.com/omics/latest/dev/",
                "tags": ["aws"],
            }
        ],
        "operators": [
            {
                "integration-name": "AWS HealthOmics",
                "python-modules": ["airflow_healthomics.operators"],
            }
        ],
        "sensors": [
            {
                "integration-name": "AWS HealthOmics",
                "python-modules": ["airflow_healthomics.sensors"],
            }
        ],
        "hooks": [
            {
                "integration-name": "AWS HealthOmics",
                "python-modules": ["airflow_healthomics.hooks.omics"],
            }
        ],
        "triggers": [
            {
                "integration-name": "AWS HealthOmics",
                "python-modules": ["airflow_healthomics.triggers"],
            }
        ],
        "config": {
            "healthomics": {
                "description": "Settings of the AWS HealthOmics provider.",
                "options": {
                    "start_rate": {
                        "description": "Starts a second that were throttled before, for each connection "
                        "and triggerer. AWS limits an account to 1 in a region by default.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "1.0",
                    },
                    "start_patience": {
                        "description": "Seconds for which an attempt repeats a start that does not reach "
                        "HealthOmics: no such host, no connection, no TLS. Then the attempt fails, and "
                        "Airflow retries it; execution_timeout may be shorter.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "21600.0",
                    },
                    "refusal_patience": {
                        "description": "Seconds for which a task continues to wait for its run while polls "
                        "are refused: credentials, permissions, the connection. Then the attempt fails and "
                        "may be retried, and the retry reattaches.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "3600.0",
                    },
                    "lineage_inputs": {
                        "description": "Whether OpenLineage is told the inputs of runs: the S3 URIs, read "
                        "sets and references among their parameters. Such names may tell of patients.",
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    },
                },
            }
        },
        "extra-links": [
            "airflow_healthomics.links.HealthOmicsRunLink",
            "airflow_healthomics.links.HealthOmicsRunLogLink",
            "airflow_healthomics.links.HealthOmicsEngineLogLink",
            "airflow_healthomics.links.HealthOmicsOutputsLink",
        ],
    }
