# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Templates that keep their type: ``"{{ params.cpus }}"`` yields the number, not its text."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import nodes

from airflow_healthomics.json_values import BrokenTemplate
from airflow_healthomics.params import FORM_KEY, form_values

if TYPE_CHECKING:
    from airflow_healthomics.compat import BaseOperator, Context

    _Base = BaseOperator
else:
    _Base = object

#: The variable that a single expression is assigned to; a name that no DAG author uses.
_RESULT = "_healthomics_typed_value"

_UNDEFINED = "is undefined: a misspelt name, or a missing XCom"


#: Errors of the expression itself. Any other comes from what it asks, such as an XCom or a Variable.
_MISTAKES = (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class _UndefinedTextError(Exception):
    """Something undefined was to become text."""


class _LoudUndefined(jinja2.Undefined):
    """May be tested and defaulted, but leaves no gap in a text, such as a path without its sample."""

    def __str__(self) -> str:
        raise _UndefinedTextError


class TypedTemplateMixin(_Base):
    """
    Render the fields of ``typed_template_fields`` by type; for an operator, before its base class.

    A string that is exactly one expression yields the expression's own Python value. Any other string renders
    to a string, also in a DAG with ``render_template_as_native_obj=True``: nothing is guessed from text,
    "0042" stays "0042". Lists and mappings are rendered element by element.
    """

    typed_template_fields: Sequence[str] = ()

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render ``content``; by type if it is the value of one of ``typed_template_fields``."""
        # By identity, as this is the one public method that plain and mapped tasks both pass through, and it
        # is not told the field's name. A literal that another field has too is rendered to text.
        if self._is_typed(content):
            return self._render_typed(content, context, jinja_env or self.get_template_env())
        return super().render_template(content, context, jinja_env, seen_oids)

    def _is_typed(self, content: Any) -> bool:
        fields = [field for field in self.template_fields if getattr(self, field, None) is content]
        return bool(fields) and set(fields) <= set(self.typed_template_fields)

    def _render_typed(self, content: Any, context: Context, jinja_env: jinja2.Environment) -> Any:
        if isinstance(content, str):
            return _render_string(content, context, jinja_env)
        if isinstance(content, Mapping):
            return self._render_mapping(content, context, jinja_env)
        if isinstance(content, list):
            return [self._render_typed(value, context, jinja_env) for value in content]
        return super().render_template(content, context, jinja_env)

    def _render_mapping(
        self, content: Mapping[Any, Any], context: Context, jinja_env: jinja2.Environment
    ) -> dict[Any, Any]:
        rendered = {
            key: self._render_typed(value, context, jinja_env)
            for key, value in content.items()
            if key != FORM_KEY
        }
        if FORM_KEY not in content:
            return rendered
        values = form_values(context, content[FORM_KEY])
        if isinstance(values, BrokenTemplate):
            return {**rendered, FORM_KEY: values}
        return {**values, **rendered}


def _render_string(text: str, context: Context, jinja_env: jinja2.Environment) -> Any:
    try:
        tree = jinja_env.parse(text)
        match tree.body:
            case [nodes.Output(nodes=[nodes.Expr() as expression])] if not _is_text(expression):
                return _value_of(expression, tree, context, jinja_env)
        template = jinja_env.overlay(undefined=_LoudUndefined).from_string(text)
        # Joined here, since a native environment would evaluate the joined text.
        return "".join(map(str, template.root_render_func(_scope(template, context))))
    except _UndefinedTextError:
        return BrokenTemplate(_UNDEFINED)
    except Exception as error:  # noqa: BLE001 - an expression may raise anything; see BrokenTemplate
        may_pass = not isinstance(error, _MISTAKES)
        return BrokenTemplate(f"failed with {type(error).__name__}", may_pass=may_pass)


def _is_text(expression: nodes.Expr) -> bool:
    return isinstance(expression, nodes.TemplateData)


def _value_of(
    expression: nodes.Expr, tree: nodes.Template, context: Context, jinja_env: jinja2.Environment
) -> Any:
    tree.body = [nodes.Assign(nodes.Name(_RESULT, "store"), expression, lineno=1)]
    template = jinja_env.from_string(tree)
    scope = _scope(template, context)
    for _ in template.root_render_func(scope):
        pass
    value = scope.vars[_RESULT]
    if isinstance(value, jinja2.Undefined):
        return BrokenTemplate(_UNDEFINED)
    return value


def _scope(template: jinja2.Template, context: Context) -> jinja2.runtime.Context:
    # As Airflow does it: its context is a lazy mapping, which template.render(**context) would evaluate
    # whole.
    variables: Any = copy.copy(context)
    variables.update({name: value for name, value in template.globals.items() if name not in variables})
    return template.environment.context_class(template.environment, variables, template.name, template.blocks)
