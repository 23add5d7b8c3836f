# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Analysis of templates: the XComs of a value, and whether it may be None."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jinja2
from jinja2 import nodes


def is_reference(content: Any) -> bool:
    """Whether a field is another task's output, such as ``start.output``: an XComArg in Airflow."""
    return hasattr(content, "iter_references") and any(True for _ in content.iter_references())


def describe_source(content: Any, environment: jinja2.Environment) -> str | None:
    """
    Return the source of a field's value, such as ``XCom return_value of task start``.

    :param content: of the field, before rendering
    :param environment: for rendering
    :return: None for a literal in the DAG
    """
    if is_reference(content):
        return _join(_name(key, task.task_id) for task, key in content.iter_references())
    if not isinstance(content, str):
        return None
    try:
        tree = environment.parse(content)
    except jinja2.TemplateSyntaxError:
        return "a template"
    match tree.body:
        case [] | [nodes.Output(nodes=[nodes.TemplateData()])]:
            return None
    return describe_xcoms(tree) or "a template"


def describe_xcoms(node: nodes.Node) -> str | None:
    """
    Return the XComs that an expression or template pulls by a literal name.

    :param node: of the template
    """
    calls = [*([node] if isinstance(node, nodes.Call) else []), *node.find_all(nodes.Call)]
    return _join(name for call in calls for name in _pulled(call)) or None


def says_none(node: nodes.Node | None) -> bool:
    """
    Whether an expression explicitly allows None, as ``x | default(none)`` does.

    :param node: the expression
    """
    match node:
        case nodes.Const(value=None):
            return True
        case nodes.CondExpr(expr1=first, expr2=second) | nodes.Or(left=first, right=second):
            return says_none(first) or says_none(second)
        case nodes.Filter(name="default" | "d", node=inner, args=args, kwargs=kwargs):
            values = [*args[:1], *(each.value for each in kwargs if each.key == "default_value")]
            return says_none(inner) or any(map(says_none, values))
        case nodes.Call(kwargs=kwargs):
            # xcom_pull(..., default=none)
            return any(each.key == "default" and says_none(each.value) for each in kwargs)
    return False


def _pulled(call: nodes.Call) -> Iterator[str]:
    """Yield the XComs that a call of ``xcom_pull(task_ids, dag_id, key)`` pulls."""
    if not isinstance(call.node, nodes.Getattr) or call.node.attr != "xcom_pull":
        return
    named = {each.key: each.value for each in call.kwargs}
    task_ids = _constant(named.get("task_ids", call.args[0] if call.args else None))
    key = _constant(named.get("key", call.args[2] if len(call.args) > 2 else None), "return_value")
    for task_id in [task_ids] if isinstance(task_ids, str) else task_ids or ():
        yield _name(key, task_id)


def _constant(node: nodes.Expr | None, default: Any = None) -> Any:
    if node is None:
        return default
    try:
        return node.as_const()
    except nodes.Impossible:
        return None


def _name(key: Any, task_id: Any) -> str:
    return f"XCom {key or '(with a computed key)'} of task {task_id}"


def _join(names: Iterator[str]) -> str:
    return " or ".join(dict.fromkeys(names))
