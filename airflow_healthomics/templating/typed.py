# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Templates that keep types: ``"{{ params.cpus }}"`` yields a number instead of text."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import jinja2
from jinja2 import nativetypes, nodes

from airflow_healthomics.params.form import FORM_KEY, form_values
from airflow_healthomics.requests.json_values import BrokenTemplate
from airflow_healthomics.templating.sources import describe_source, describe_xcoms, is_reference, says_none

if TYPE_CHECKING:
    from airflow_healthomics.compat import BaseOperator, Context

    _Base = BaseOperator
else:
    _Base = object

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


class TypedTemplateMixin(_Base):
    """
    Render the fields in ``typed_template_fields`` with types. The mixin must precede the operator's base
    class.

    A string that is exactly one expression yields the Python value of the expression. Any other string
    renders to a string, even in a DAG with ``render_template_as_native_obj=True``. No type is guessed from
    text: "0042" stays "0042". Lists and mappings are rendered element by element.

    A single expression that yields None, for example for a missing XCom, becomes a
    :class:`~airflow_healthomics.requests.json_values.BrokenTemplate`, unless it allows None explicitly. This
    also applies to ``checked_template_fields``. Apart from that, Airflow renders these and all other fields.
    """

    typed_template_fields: Sequence[str] = ()
    checked_template_fields: Sequence[str] = ()

    #: Whether templates in ``parameters`` may yield None.
    allow_null_parameters: bool = False

    _template_sources: Mapping[str, str] = MappingProxyType({})
    _is_within_other_field = False

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render ``content``, with types if it belongs to ``typed_template_fields``."""
        if seen_oids and id(content) in seen_oids:
            # Airflow passes an XCom that a mapped task is expanded over. It is not a template.
            return content
        field = None if self._is_within_other_field else self._field_of(content)
        if field is None:
            return self._render_as_airflow(content, context, jinja_env, seen_oids)
        jinja_env = jinja_env or self.get_template_env()
        if field in self.typed_template_fields:
            return self._render_typed(content, context, jinja_env, (field,))
        return self._render_checked(content, context, jinja_env, field, seen_oids)

    def source_of(self, field: str) -> str:
        """
        Return the source of the value of a field, for an error message.

        :param field: one of ``checked_template_fields``
        """
        return self._template_sources.get(field, f"the argument {field}")

    def _field_of(self, content: Any) -> str | None:
        # By identity: render_template is the only public method that both plain and mapped tasks call, and it
        # does not receive the name of the field. Airflow renders and replaces fields in order, so the first
        # field that still has this object is the current one.
        field = next((name for name in self.template_fields if getattr(self, name, None) is content), None)
        is_ours = field in self.typed_template_fields or field in self.checked_template_fields
        return field if is_ours else None

    def _render_as_airflow(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        # Airflow calls render_template again for each element of a list.
        was_within, self._is_within_other_field = self._is_within_other_field, True
        try:
            return super().render_template(content, context, jinja_env, seen_oids)
        finally:
            self._is_within_other_field = was_within

    def _render_checked(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment,
        field: str,
        seen_oids: set[int] | None,
    ) -> Any:
        if source := describe_source(content, jinja_env):
            self._template_sources = {**self._template_sources, field: source}
        if isinstance(content, str):
            try:
                expression = _single_expression(jinja_env.parse(content))
            except jinja2.TemplateSyntaxError as error:
                return _syntax_error(error)
            if expression is not None:
                value = self._render_string(content, context, jinja_env, (field,))
                if value is None or isinstance(value, BrokenTemplate):
                    return value
                is_native = isinstance(jinja_env, nativetypes.NativeEnvironment)
                return nativetypes.native_concat([value]) if is_native else str(value)
        return self._checked_reference(content, context, jinja_env, (field,), seen_oids)

    def _render_typed(
        self, content: Any, context: Context, jinja_env: jinja2.Environment, path: _Path
    ) -> Any:
        if isinstance(content, str):
            return self._render_string(content, context, jinja_env, path)
        if isinstance(content, Mapping):
            return self._render_mapping(content, context, jinja_env, path)
        if isinstance(content, list):
            return [
                self._render_typed(value, context, jinja_env, (*path, index))
                for index, value in enumerate(content)
            ]
        return self._checked_reference(content, context, jinja_env, path)

    def _render_mapping(
        self, content: Mapping[Any, Any], context: Context, jinja_env: jinja2.Environment, path: _Path
    ) -> dict[Any, Any]:
        rendered = {
            key: self._render_typed(value, context, jinja_env, (*path, key))
            for key, value in content.items()
            if key != FORM_KEY
        }
        if FORM_KEY not in content:
            return rendered
        values = form_values(context, content[FORM_KEY])
        if isinstance(values, BrokenTemplate):
            return {**rendered, FORM_KEY: values}
        return {**values, **rendered}

    def _render_string(self, text: str, context: Context, jinja_env: jinja2.Environment, path: _Path) -> Any:
        try:
            tree = jinja_env.parse(text)
            expression = _single_expression(tree)
            if expression is not None:
                value = _value_of(expression, tree, context, jinja_env)
                if value is None and not says_none(expression):
                    return self._null(path, describe_xcoms(expression), is_template=True)
                return value
            template = jinja_env.overlay(undefined=_LoudUndefined).from_string(text)
            # A native environment would evaluate the joined text, so join it here.
            return "".join(map(str, template.root_render_func(_scope(template, context))))
        except _UndefinedTextError:
            return BrokenTemplate(_UNDEFINED)
        except jinja2.TemplateSyntaxError as error:
            return _syntax_error(error)
        except Exception as error:  # noqa: BLE001 - an expression may raise anything; see BrokenTemplate
            is_temporary = not isinstance(error, _MISTAKES)
            return BrokenTemplate(f"failed with {type(error).__name__}", is_temporary=is_temporary)

    def _checked_reference(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment,
        path: _Path,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render content other than text, such as another task's output. A missing XCom yields None."""
        value = self._render_as_airflow(content, context, jinja_env, seen_oids)
        if value is None and is_reference(content):
            return self._null(path, describe_source(content, jinja_env), is_template=False)
        return value

    def _null(self, path: _Path, source: str | None, *, is_template: bool) -> BrokenTemplate | None:
        is_parameter = _is_parameter(path)
        if is_parameter and self.allow_null_parameters:
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
