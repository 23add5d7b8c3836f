# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Metadata of the provider for Airflow. Every Airflow process calls it, so it imports nothing."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """
    Return the provider's metadata, as defined by Airflow's ``provider_info.schema.json``.

    There is no connection type: connections are those of the amazon provider. The plugin has an entry point
    instead, since Airflow reports an error for a plugin that it finds twice.
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
                        "description": "Maximum rate, per second, of delayed starts, for each connection and "
                        "triggerer. AWS's default limit per account and region is 1.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "1.0",
                    },
                    "poll_rate": {
                        "description": "Maximum rate, per second, of polling deferred tasks, for each API "
                        "operation, connection and triggerer. AWS's default limit per account and region "
                        "is 10. Raise the rate if AWS has raised that limit.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "8.0",
                    },
                    "start_patience": {
                        "description": "Seconds for which an attempt repeats a start that cannot reach "
                        "HealthOmics: unknown host, refused connection, TLS error. Then the attempt fails, "
                        "and Airflow may retry it. A shorter execution_timeout ends it earlier.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "21600.0",
                    },
                    "refusal_patience": {
                        "description": "Seconds for which a task keeps waiting for its run while polls fail "
                        "because of credentials, permissions or the connection. Then the attempt fails, "
                        "and a retry reattaches.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "3600.0",
                    },
                    "page_rate": {
                        "description": "Maximum rate, per second, of AWS calls for all run pages of a "
                        "connection and region. Above it, pages keep their previous answer for longer. Each "
                        "API server has this rate, in equal parts for its processes ([api] workers).",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "2.0",
                    },
                    "page_outputs": {
                        "description": "Whether run pages list the outputs of runs, and show reports, images "
                        "and text among them. Their names may identify patients.",
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    },
                    "page_prices": {
                        "description": "Whether the pages of ended runs estimate their cost from AWS's price "
                        "list. The connection must allow pricing:GetProducts.",
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "False",
                    },
                    "lineage_inputs": {
                        "description": "Whether to report the inputs of runs to OpenLineage: S3 URIs, read "
                        "sets and references in their parameters. Their names may identify patients.",
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
