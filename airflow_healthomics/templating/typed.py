# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Templates that keep types: ``"{{ params.cpus }}"`` yields a number instead of text."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import jinja2
from jinja2 import nativetypes, nodes

from airflow_healthomics.params.values import FORM_KEY, form_values
from airflow_healthomics.requests.json_values import BrokenTemplate
from airflow_healthomics.templating.sources import describe_source, describe_xcoms, is_reference, says_none

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: Name of a field, then keys and indexes.
_Path: TypeAlias = tuple[Any, ...]

#: Variable for the value of a single expression. No DAG author uses this name.
_RESULT = "_healthomics_typed_value"

_UNDEFINED = "is undefined: a name is misspelt, or an XCom is missing"


#: Errors of the expression itself. Other errors come from fetching an XCom, a Variable and so on.
_MISTAKES = (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class _UndefinedTextError(Exception):
    """An undefined value was converted to text."""


class _LoudUndefined(jinja2.Undefined):
    """Supports tests and defaults, but fails in text, where it would leave a gap, for example in a path."""

    def __str__(self) -> str:
        raise _UndefinedTextError


class FieldRendering:
    """
    Renders one template field of a task.

    A string that is exactly one expression yields the Python value of the expression. Any other string
    renders to a string, even in a DAG with ``render_template_as_native_obj=True``. No type is guessed from
    text: "0042" stays "0042". Lists and mappings are rendered element by element.

    A template of one expression that yields None, as for a missing XCom, becomes a
    :class:`~airflow_healthomics.requests.json_values.BrokenTemplate`, unless the expression says None by
    itself.

    :param task: operator or sensor, whose own ``render_template`` renders what is not text
    :param field: name of the field
    :param context: the task's context
    :param jinja_env: environment of the templates
    :param seen_oids: as for ``render_template``
    """

    def __init__(
        self,
        task: Any,
        field: str,
        context: Context,
        jinja_env: jinja2.Environment,
        seen_oids: set[int] | None,
    ) -> None:
        self._task = task
        self._field = field
        self._context = context
        self._jinja_env = jinja_env
        self._seen_oids = seen_oids

    def render_typed(self, content: Any) -> Any:
        """Render a value that keeps its type."""
        return self._typed(content, (self._field,))

    def render_checked(self, content: Any) -> Any:
        """Render a value as Airflow does, but for one expression that yields None or fails."""
        if isinstance(content, str):
            try:
                expression = _single_expression(self._jinja_env.parse(content))
            except jinja2.TemplateSyntaxError as error:
                return _syntax_error(error)
            if expression is not None:
                value = self._string(content, (self._field,))
                if value is None or isinstance(value, BrokenTemplate):
                    return value
                is_native = isinstance(self._jinja_env, nativetypes.NativeEnvironment)
                return nativetypes.native_concat([value]) if is_native else str(value)
        return self._reference(content, (self._field,), self._seen_oids)

    def _typed(self, content: Any, path: _Path) -> Any:
        if isinstance(content, str):
            return self._string(content, path)
        if isinstance(content, Mapping):
            return self._mapping(content, path)
        if isinstance(content, list):
            return [self._typed(value, (*path, index)) for index, value in enumerate(content)]
        return self._reference(content, path)

    def _mapping(self, content: Mapping[Any, Any], path: _Path) -> dict[Any, Any]:
        rendered = {
            key: self._typed(value, (*path, key)) for key, value in content.items() if key != FORM_KEY
        }
        if FORM_KEY not in content:
            return rendered
        values = form_values(self._context, content[FORM_KEY])
        if isinstance(values, BrokenTemplate):
            return {**rendered, FORM_KEY: values}
        return {**values, **rendered}

    def _string(self, text: str, path: _Path) -> Any:
        try:
            tree = self._jinja_env.parse(text)
            expression = _single_expression(tree)
            if expression is not None:
                value = _value_of(expression, tree, self._context, self._jinja_env)
                if value is None and not says_none(expression):
                    return self._null(path, describe_xcoms(expression), is_template=True)
                return value
            template = self._jinja_env.overlay(undefined=_LoudUndefined).from_string(text)
            # Joined here, since a native environment would evaluate the joined text.
            return "".join(map(str, template.root_render_func(_scope(template, self._context))))
        except _UndefinedTextError:
            return BrokenTemplate(_UNDEFINED)
        except jinja2.TemplateSyntaxError as error:
            return _syntax_error(error)
        except Exception as error:  # noqa: BLE001 - an expression may raise anything; see BrokenTemplate
            is_temporary = not isinstance(error, _MISTAKES)
            return BrokenTemplate(f"failed with {type(error).__name__}", is_temporary=is_temporary)

    def _reference(self, content: Any, path: _Path, seen_oids: set[int] | None = None) -> Any:
        """Render what is no text, such as another task's output, which is None for a missing XCom."""
        value = self._task.render_template(content, self._context, self._jinja_env, seen_oids)
        if value is None and is_reference(content):
            return self._null(path, describe_source(content, self._jinja_env), is_template=False)
        return value

    def _null(self, path: _Path, source: str | None, *, is_template: bool) -> BrokenTemplate | None:
        is_parameter = _is_parameter(path)
        if is_parameter and self._task.allow_null_parameters:
            return None
        ways = ["add '| default(none)' to the template"] if is_template else []
        ways += ["set allow_null_parameters=True"] if is_parameter else []
        cause = f": {source} is missing or None" if source else ""
        advice = f". To allow None, {' or '.join(ways)}" if ways else ""
        return BrokenTemplate(f"yields None{cause}{advice}")


def _is_parameter(path: _Path) -> bool:
    """Whether a value belongs to the ``parameters`` of a run, a batch or a run setting."""
    match path:
        case ("parameters", _, *_) | ("run_settings", _, "parameters", _, *_):
            return True
    return False


def _single_expression(tree: nodes.Template) -> nodes.Expr | None:
    match tree.body:
        case [nodes.Output(nodes=[nodes.Expr() as expression])] if not _is_text(expression):
            return expression
    return None


def _syntax_error(error: jinja2.TemplateSyntaxError) -> BrokenTemplate:
    # Jinja's message quotes names and punctuation, but no string literals, so it contains no parameter value.
    message = (error.message or "").rstrip(".")
    return BrokenTemplate(f"has a syntax error in line {error.lineno}: {message}")


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
    # Like Airflow: its context is a lazy mapping, and template.render(**context) would evaluate all of it.
    variables: Any = copy.copy(context)
    variables.update({name: value for name, value in template.globals.items() if name not in variables})
    return template.environment.context_class(template.environment, variables, template.name, template.blocks)
