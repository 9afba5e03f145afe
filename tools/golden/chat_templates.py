#!/usr/bin/env python3
"""Chat templates by Jinja2 in the environment of transformers' apply_chat_template, for text/template.

  python3 chat_templates.py                                     # writes tests/golden/chat_templates.json
  python3 chat_templates.py --templates DIR --out CASES.json    # every *.jinja there with many conversations
  python3 chat_templates.py --random 10000 --seed 1 --out CASES.json   # templates made up from a grammar
  TACK_TEMPLATE_CASES=CASES.json build/src/tack_text_test --gtest_filter='Template.Cases'
  python3 chat_templates.py --prompts DIR                       # writes tests/golden/chat_prompts.json
  python3 chat_templates.py --prompts DIR --out PROMPTS.json    # with the templates of DIR themselves
  TACK_CHAT_PROMPTS=PROMPTS.json build/src/tack_text_test --gtest_filter='Chat.Prompts'

A file of cases: "templates", "variables" and "cases", each [template, variables, output or null for an
error, what the template raised or null]. A file of prompts: [family or template, OpenAI's messages, tools,
add_generation_prompt, prompt]. DIR has the published templates under the names in PUBLISHED; Gemma 3's is in its
tokenizer_config.json. Needs Jinja2 3.1.6 and transformers.
"""
import argparse
import datetime
import json
import os
import pathlib
import random
import time
import warnings

os.environ["TZ"] = "UTC"
time.tzset()
import jinja2  # noqa: E402
from transformers.utils import chat_template_utils  # noqa: E402

warnings.filterwarnings("ignore", category=SyntaxWarning)  # of Python code that Jinja2 makes
NOW = 1_722_000_000


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, tz)


chat_template_utils.datetime = Clock


class Cases:
    def __init__(self):
        self.templates, self.variables, self.cases, self.index = [], [], [], {}
        self.compiled = {}

    def place(self, table, value):
        key = (id(table), json.dumps(value))
        if key not in self.index:
            self.index[key] = len(table)
            table.append(value)
        return self.index[key]

    def add(self, template, variables):
        output = raised = None
        try:
            if template not in self.compiled:
                try:
                    self.compiled[template] = chat_template_utils._compile_jinja_template(template)
                except jinja2.TemplateError as error:
                    self.compiled[template] = error
            if isinstance(self.compiled[template], Exception):
                raise RuntimeError("does not compile")
            output = self.compiled[template].render(**json.loads(json.dumps(variables)))
            output.encode()
        except jinja2.TemplateError as error:
            output = None
            if type(error) is jinja2.TemplateError:
                raised = str(error)
        except Exception:
            output = None
        self.cases.append([self.place(self.templates, template), self.place(self.variables, variables), output, raised])

    def write(self, path, **style):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"now": NOW, "templates": self.templates, "variables": self.variables, "cases": self.cases}, file,
                      ensure_ascii=False, **style)
            file.write("\n")
        failed = sum(c[2] is None for c in self.cases)
        print(f"{path}: {len(self.templates)} templates, {len(self.cases)} cases, {failed} of them errors")


# Conversations

TEXTS = ["Hello", "", " ", "What is 2 + 2?\n", "  spaces  around  ", "naïve Zürich 東京 🙂", "<b>\"quoted\" & 'single'</b>",
         "line one\nline two\n\n", "{{ not a template }} {% if %}", "<|eot_id|><|im_end|></s>[INST]", "tab\there\\n",
         "<think>\nI think.\n</think>\n\nThe answer.", "<think></think>", "\u00a0no-break\u2028", "a" * 50, "ß İ ı ﬁ", "\x00\x1f"]
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather in a city", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "description": "The city's \"name\""},
                                         "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
        "required": ["city"]}}},
    {"type": "function", "function": {"name": "add", "description": "", "parameters": {
        "type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "integer", "default": 1.5}}, "required": ["a", "b"]},
        "return": {"type": "number", "description": "Sum"}}},
    {"type": "function", "function": {"name": "suche_über", "description": "Ü & <ö>", "parameters": {
        "type": "object", "properties": {"q": {"type": "array", "items": {"type": "string"}, "nullable": True},
                                         "o": {"type": "object", "properties": {"x": {"type": ["string", "null"]}}}}}}},
]
ARGUMENTS = [{"city": "Paris"}, {}, {"a": 1, "b": 2.5}, {"q": ["ä", "b\n"], "deep": {"x": None, "y": [True, False]}}, "{\"city\": \"Bonn\"}"]


def call(rng):
    out = {"type": "function", "function": {"name": rng.choice(["get_weather", "add"]), "arguments": rng.choice(ARGUMENTS)}}
    if rng.random() < 0.7:
        out["id"] = rng.choice(["abcdefghi", "123456789", "call_1"])
    return out


def content(rng, text=None):
    text = rng.choice(TEXTS) if text is None else text
    roll = rng.random()
    if roll < 0.12:
        return [{"type": "text", "text": text}]
    if roll < 0.18:
        return [{"type": "text", "text": text}, {"type": "text", "text": rng.choice(TEXTS)}, {"type": "image"}]
    if roll < 0.2:
        return None
    return text


def conversation(rng):
    """Alternating turns with an optional system message, calls and their results; some break the rules."""
    out = []
    if rng.random() < 0.5:
        out.append({"role": rng.choice(["system"] * 5 + ["developer"]), "content": content(rng)})
    for _ in range(rng.randint(1, 3)):
        out.append({"role": "user", "content": content(rng)})
        if rng.random() < 0.3:
            calls = [call(rng) for _ in range(rng.choice([1, 1, 2]))]
            message = {"role": "assistant", "tool_calls": calls}
            if rng.random() < 0.8:
                message["content"] = rng.choice(["", None, "Let me see."])
            out.append(message)
            for one in calls:
                out.append({"role": "tool", "content": content(rng, rng.choice(["22", "{\"t\": 22}", "ü"])),
                            "name": one["function"]["name"], "tool_call_id": one.get("id", "abcdefghi")})
        if rng.random() < 0.8:
            out.append({"role": "assistant", "content": content(rng)})
            if rng.random() < 0.2:
                out[-1]["reasoning_content"] = rng.choice(TEXTS)
    if rng.random() < 0.08:
        rng.shuffle(out)
    if rng.random() < 0.5 and out[-1]["role"] == "assistant" and len(out) > 1:
        out.pop()
    return out


def variables(rng):
    out = {"messages": conversation(rng), "tools": None, "documents": None, "add_generation_prompt": rng.random() < 0.5,
           "bos_token": "<s>", "eos_token": "</s>"}
    if rng.random() < 0.4:
        out["tools"] = rng.sample(TOOLS, rng.randint(0, 3))
    if rng.random() < 0.2:
        out["enable_thinking"] = rng.random() < 0.5
    if rng.random() < 0.1:
        out["tools_in_user_message"] = False
    return out


def plain(*turns, **more):
    roles = ["user", "assistant"]
    return {"messages": [{"role": roles[i % 2], "content": t} for i, t in enumerate(turns)], "tools": None, "documents": None,
            "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>", **more}


FIXED = [plain("Hello"), plain("Hello", "Hi", "Bye"), plain(""), plain(*TEXTS), plain("Hello", add_generation_prompt=False),
         plain("Hello", "Hi", add_generation_prompt=False), plain("Weather?", tools=TOOLS), plain("Weather?", tools=TOOLS[:1]),
         plain("x", tools=[]), {**plain("Hi"), "messages": []}]
for one in (plain("Hello"), plain("Hello", "Hi", "Bye", tools=TOOLS)):
    FIXED.append({**one, "messages": [{"role": "system", "content": "Be brief.\n"}] + one["messages"]})


# Small templates of our own, each for a feature

LINES = ["{{ 'x' }}\n  {% if true %}  y  {% endif %}  z\n", "a\n  {%- if true -%}  y  {%- endif -%}  z\n\n",
         "a\n  {%+ if true +%}\n y\n  {%+ endif +%}\nz", "a\r\n  {# c #}\r\n{% if s %}\r\nb{% endif %}\r\n", "{{ 'a\nb' }}",
         "  {% if true %}\n    x\n  {% else %}\n    y\n  {% endif %}\n  {{ s }}\n{{ s }}\n", "{% for i in l %}\n  {%- set x = i %}\n  {{- x }}\n{% endfor %}\nend", " {# a #} {# b #}\n{% set x %}\n a\n{% endset %}\n[{{ x }}]", ""]
FEATURES = r"""
a{{ 1 }}b
a {# comment #} b {#- comment -#} c
{# first #}
x{{- 1 -}} y {{ 2 }}
{% for m in messages %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }}:{{ m.role }};{% endfor %}
{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined else '-' }}<{{ m.role }}>{{ loop.nextitem.role if loop.nextitem else '-' }}{% endfor %}
{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m.content }}{% else %}none{% endfor %}
{% for m in [] %}x{% else %}empty{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }},{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for (a, b), c in [((1, 2), 3)] %}{{ a+b+c }}{% endfor %}
{% for i in range(10) %}{% if i == 3 %}{% continue %}{% endif %}{% if i > 5 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% set x = 1 %}{% for i in range(3) %}{{ x }}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(a=1, b=[]) %}{% for i in range(3) %}{% set ns.a = ns.a * 2 %}{% set ns.b = ns.b + [i] %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c is defined }}
{% set a, b = 1, 'two' %}{{ b }}{{ a }}{% set t = (1,) %}{{ t }}{{ () }}{% set c %}block {{ a }}{% endset %}[{{ c }}]
{% set ns = namespace() %}{% set ns._x = 1 %}
{% set d.x = 1 %}
{% if false %}{% set q = 1 %}{% endif %}{{ q is defined }}{{ q }}
{% macro f(a, b=2, c=a) %}{{ a }}-{{ b }}-{{ c }};{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(1, c=5) }}{{ f() }}{{ f(b=1, a=0) }}
{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}
{% macro f() %}{{ late }}{% endmacro %}{% set late = 'set later' %}{{ f() }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(z=2) }}
{% generation %} a {{ s }}{% set g = 1 %}{% endgeneration %}{{ g is defined }}
{% filter upper %}abc {{ s }}{% endfilter %}{% filter trim | upper %} a {% endfilter %}
{{ true }}{{ True }}{{ none }}{{ None }}{{ false }}{{ undefined_name }}{{ 1.0 }} {{ 100000000.0 * 100000000.0 }} {{ 123456789.125 }} {{ 0.00001 }} {{ 0.0001 }} {{ -0.0 }}
{{ [1, 'a', "it's", 'say "hi"', 'both \' and "', none, true, 1.5, {'k': [()]}] }}{{ {'a': 1, 2: 'b', none: true} }}{{ ['\n\t\\\x00\x7f é 東 \u200b \U0001F642'] }}
{{ '\n' }}|{{ "\t" }}|{{ '\x41\u00e9\q' }}|{{ 'a' 'b' }}|
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 1 + 2 * 3 - 4 }} {{ 1 ~ 2 + '3' }} {{ 'a' ~ 1 ~ none }}
{{ 'ab' * 3 }} {{ [1] * 2 }} {{ 'a' + 'b' }} {{ [1] + [2] }} {{ (1,) + (2,) }} {{ true + 1 }} {{ 3 * 'x' }} {{ 'a' * -1 }}
{{ 1 + 'a' }}
{{ 'a' + none }}
{{ 1 / 0 }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 1 == 1.0 }} {{ 1 == true }} {{ 'a' == 1 }} {{ none == none }} {{ [1] == (1,) }} {{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }}
{{ 1 < 'a' }}
{{ not true and false or 'x' }} {{ 0 or '' or none }} {{ 1 and 2 }} {{ 1 in [1, 2] }} {{ 'b' not in 'abc' }} {{ 'a' in d }} {{ not 1 in [2] }} {{ x in [] }} {{ 1 in undefined_name }}
{{ 'a' if false }}|{{ 'a' if true else 'b' }}|{{ 'a' if false else 'b' if false else 'c' }}
{{ s[0] }}{{ s[-1] }}{{ s[1:3] }}{{ s[::-1] }}{{ s[:-1] }}{{ s[5:1:-2] }}{{ s[99] }}{{ s[99:] }}{{ l[0] }}{{ l[-1] }}{{ l[1:] }}{{ l[:2] }}{{ l[::2] }}{{ l[9] is defined }}{{ l.0 }}{{ (1, 2, 3)[1:] }}
{{ d['a'] }}{{ d.a }}{{ d.missing }}{{ d['missing'] is defined }}{{ d.get('a') }}{{ d.get('z') }}{{ d.get('z', 5) }}
{{ d.missing.more }}
{{ undefined_name.x }}
{{ undefined_name() }}
{{ d.keys()|list }}{{ d.values()|list }}{{ d.items()|list }}{{ d|items|list }}{{ d|dictsort }}{{ {'a': 1, 'b': 2}|dictsort(by='value', reverse=true) }}{{ d|length }}{{ d|list }}
{{ ' a b '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcba'.lstrip('ab') }}|{{ 'abcba'.rstrip('ab') }}|{{ 'a,b,,c'.split(',') }}|{{ ' a  b '.split() }}|{{ 'a b c'.split(' ', 1) }}|{{ ' a  b c '.split(none, 1) }}|{{ ''.split() }}|{{ ''.split(',') }}
{{ 'Hello'.startswith('He') }}{{ 'Hello'.endswith(('x', 'lo')) }}{{ 'hello wORLD'.title() }}{{ "they're".title() }}{{ 'hELLO'.capitalize() }}{{ 'a-b'.replace('-', '+') }}{{ 'aaa'.replace('a', 'b', 2) }}{{ 'aa'.replace('', '.') }}{{ 'abc'.find('c') }}{{ 'abc'.find('z') }}{{ 'éa'.find('a') }}{{ '{}-{{{}}}'.format('a', 1) }}{{ ', '.join(['a', 'b']) }}
{{ 'a\nb\r\nc'.splitlines() }}{{ 'prefix-x'.removeprefix('prefix-') }}{{ 'x.py'.removesuffix('.py') }}{{ 'ÄÖ'.lower() }}{{ 'straße'.upper() }}
{{ l.append(1) }}
{{ 'a'.nothing() }}
{{ s|trim }}|{{ 'xax'|trim('x') }}|{{ s|length }}{{ l|length }}{{ undefined_name|length }}|{{ s|upper }}{{ 'ABC'|lower }}{{ 'abc dEF'|capitalize }}{{ 'aab'|replace('a', 'x') }}{{ 'aab'|replace('a', 'x', 1) }}{{ 5|upper }}
{{ undefined_name|default('x') }}{{ ''|default('x') }}{{ ''|default('x', true) }}{{ none|d('x') }}{{ undefined_name|d }}{{ none|default('x', boolean=true) }}
{{ l|first }}{{ l|last }}{{ 'abc'|first }}{{ []|first is defined }}{{ l|join(', ') }}{{ l|join }}{{ messages|join('+', attribute='role') }}{{ l|reverse|list }}{{ 'abc'|reverse }}{{ 'abc'|list }}
{{ messages|map(attribute='role')|list }}{{ messages|map(attribute='nothing', default='?')|list }}{{ ['a', 'b']|map('upper')|join }}{{ ['a']|map('replace', 'a', 'z')|list }}{{ [' a ']|map('trim')|list }}
{{ [1, 2, 3]|select('odd')|list }}{{ [0, 1, none]|select|list }}{{ [1, 2, 3]|reject('eq', 2)|list }}{{ messages|selectattr('role', 'equalto', 'user')|list|length }}{{ messages|rejectattr('role', 'in', ['user'])|map(attribute='role')|list }}{{ messages|selectattr('tool_calls', 'defined')|list }}{{ messages|selectattr('content')|list|length }}
{{ [3, 1, 2]|sort }}{{ ['b', 'A', 'a']|sort }}{{ ['b', 'A', 'a']|sort(case_sensitive=true) }}{{ [3, 1]|sort(reverse=true) }}{{ messages|sort(attribute='role')|map(attribute='role')|list }}{{ ['a', 'A', 'b']|unique|list }}{{ [1, 1, 2]|unique|list }}
{{ [1, 'a']|sort }}
{{ '12'|int }}{{ 'x'|int }}{{ 'x'|int(7) }}{{ 3.9|int }}{{ ' 5 '|int }}{{ '3.7'|int }}{{ 5|string }}{{ none|string }}{{ [1]|string|length }}
{{ [3, 1]|min }}{{ [3, 1]|max }}{{ ['b', 'A']|min }}{{ []|max is defined }}
{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\n\nb'|indent(2, blank=true) }}|{{ 'a\nb'|indent('> ') }}|{{ 'a\n'|indent }}|
{{ ('<b>'|safe) + '<i>' }}{{ '&' ~ ('<b>'|safe) ~ 1 }}{{ '<a href="x">\'&' + ('>'|safe) + '<' }}{{ '<b>'|safe }}
{{ d|tojson }}{{ d|tojson(indent=2) }}{{ []|tojson(indent=2) }}{{ {}|tojson(indent=4) }}{{ 'é"\\\n\x01<>&\'\x7f'|tojson }}{{ 'é🙂'|tojson(ensure_ascii=true) }}{{ {'b': 1, 'a': [1, 2.0, none, true]}|tojson(sort_keys=true) }}{{ [1, 2]|tojson(separators=(',', ':')) }}{{ (1, 2)|tojson }}{{ {1: 2, none: 3, 1.5: 6}|tojson }}
{{ undefined_name|tojson }}
{{ 1 is defined }}{{ x is undefined }}{{ none is none }}{{ 's' is string }}{{ {} is mapping }}{{ [] is iterable }}{{ 's' is sequence }}{{ {} is sequence }}{{ 1 is number }}{{ true is number }}{{ 1 is integer }}{{ true is integer }}{{ 1.0 is float }}{{ true is boolean }}{{ true is true }}{{ 1 is true }}{{ false is false }}{{ x is iterable }}{{ 5 is iterable }}
{{ 1 is eq 1 }}{{ 1 is equalto(2) }}{{ 1 is ne 2 }}{{ 1 is lt 2 }}{{ 1 is gt(2) }}{{ 1 is le 1 }}{{ 1 is ge 2 }}{{ 1 is in [1] }}{{ 3 is odd }}{{ 3 is even }}{{ 1 is not none }}{{ not 1 is none }}
{{ 1 is == 1 }}
{{ x is nonsense }}
{{ x|nonsense }}
{{ range(3)|list }}{{ range(1, 6, 2)|list }}{{ range(3, 0, -1)|list }}
{{ range(200000)|list|length }}
{{ raise_exception('No ' ~ s) }}
{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%d %b %Y') }} {{ strftime_now('%A, %B %-d') }}
{{ (1 if true else 2) + 3 }}{{ -l[0] }}{{ 'a'.upper().lower()|upper }}{{ {'a': {'b': 1}}['a']['b'] }}{{ {'a': {'b': 1}}.a.b }}
{{ 1, 2 }}{{ [1, 2,] }}{{ {'a': 1,} }}
{%- set f = namespace(x=none) -%}{{ f.x is none }}{{ f['x'] is none }}
{{ loop is defined }}{% for i in [1] %}{{ loop is defined }}{% for j in [1, 2] %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}
{% if a %}1{% elif b %}2{% elif s %}3{% else %}4{% endif %}{% if 0 %}{% endif %}
{% if %}
{% if true %}
{% endfor %}
{{ 1 +
{{ 'abc
{% for x in %}{% endfor %}
{# no end
{{ (1 }}
{% break %}
{% unknown %}
{% set %}
{{ a b }}
""".strip("\n")


OURS = {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": ""}],
        "s": " héllo ", "l": [1, 2, 3], "d": {"b": 2, "a": "x", "C": 1}}


# Templates from a grammar

class Grammar:
    NAMES = ["s", "t", "n", "f", "l", "d", "m", "u", "messages", "b"]
    VALUES = {"s": " Hello wörld ", "t": "a,b\nc", "n": 7, "f": 2.5, "l": [3, 1, 2], "d": {"k": "v", "x": 1, "y": None}, "m": ["b", "A", "c"],
              "b": True, "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x ", "n": 2}]}

    def __init__(self, rng):
        self.rng = rng

    def pick(self, *choices):
        return self.rng.choice(choices)

    def literal(self):
        return self.pick("'a'", "'x y'", "\"it's\"", "'é\\n'", "''", "1", "0", "42", "-3", "2.5", "true", "none", "false", "[]", "{}", "()",
                         "[1, 2, 3]", "['b', 'a']", "{'k': 1}", "(1, 'x')", "{'a': [1, none]}")

    def expression(self, depth):
        if depth <= 0:
            return self.literal() if self.rng.random() < 0.4 else self.rng.choice(self.NAMES)
        e = lambda: self.expression(depth - 1)  # noqa: E731
        kind = self.rng.randrange(21)
        if kind == 20:  # not of constants: Jinja2 folds those, where any slice of a number is undefined
            return f"{self.pick('s', 't', 'l', 'm', 'messages')}{self.pick('[1:]', '[:-1]', '[::-1]', '[::2]', '[-2:]', '[5:1:-2]', '[:9]')}"
        if kind < 3:
            return f"{e()} {self.pick('+', '-', '*', '/', '~', '~', '~', '+')} {e()}"
        if kind < 5:
            return f"{e()} {self.pick('==', '!=', '<', '>', '<=', '>=', 'in', 'not in', 'and', 'or', 'and', 'or')} {e()}"
        if kind < 6:
            return f"{self.pick('not ', '-', 'not ')}{e()}"
        if kind < 7:
            return f"({e()})"
        if kind < 8:
            return f"{e()} if {e()}" + (f" else {e()}" if self.rng.random() < 0.8 else "")
        if kind < 9:
            return f"({e()}){self.pick('[0]', '[-1]', '[9]', '.k', '.role', '.x')}"
        if kind < 10:
            return f"({e()}) is {self.pick('', 'not ')}{self.pick('defined', 'undefined', 'none', 'string', 'mapping', 'iterable', 'sequence', 'number', 'boolean', 'true', 'false', 'odd', 'even', 'integer', 'float', 'eq 1', 'in [1, 2]', 'ne none')}"
        if kind < 15:
            return f"({e()})|{self.filter(depth)}"
        if kind < 17:
            return f"({e()}).{self.method()}"
        if kind < 18:
            return f"[{e()}, {e()}]"
        if kind < 19:
            return f"{{'q': {e()}, {self.pick(chr(39) + 'r' + chr(39), '1')}: {e()}}}"
        return self.pick("range(3)|list", "range(5, 1, -2)|list", "messages[0].content", "messages[-1]['role']", "d.items()|list",
                         "d.get('k')", "d.get('z', 1)", "d.keys()|list", "f1(1)", "f1(s, b=2)", "ns.v", "loop.index", "loop.last", "i", "messages|length", "n // 2", "n % 3",
                         "-n // 2", "-n % 3", "(n|string).format(1)", "'{}-{}'.format(n, s)")

    def filter(self, depth):
        e = lambda: self.expression(depth - 2)  # noqa: E731
        return self.pick("trim", "length", "tojson", "tojson(indent=2)", "join", "join(', ')", "upper", "lower", "capitalize", "first", "last",
                         "list", "string", "int", "sort", "sort(reverse=true)", "unique|list", "reverse|list", "min", "max",
                         "items|list", "dictsort", "indent", "indent(2, true)", f"default({e()})", f"d({e()}, true)",
                         f"replace('a', {self.pick(repr('b'), repr(''), 's')})", "map('upper')|list", "map(attribute='role')|list", "select|list",
                         "select('string')|list", "reject('none')|list", "selectattr('role', 'eq', 'user')|list", "rejectattr('n', 'defined')|list",
                         "map('int')|join('.')", "count", "tojson(sort_keys=true)", "map('string')|map('trim')|list", "sort(attribute='role')")

    def method(self):
        return self.pick("strip()", "lstrip()", "rstrip()", "strip(' H')", "split()", "split(',')", "split('o', 1)", "upper()", "lower()",
                         "title()", "capitalize()", "startswith('a')", "endswith('d ')", "replace('l', 'L')", "replace('o', '0', 1)", "find('o')",
                         "splitlines()", "join(['x', 'y'])", "items()|list", "keys()|list", "values()|list", "get('k')", "get('zz', 0)",
                         "rstrip('\\n')", "splitlines()|length", "removeprefix('a')")

    def text(self):
        return "".join(self.pick("a", " ", "\n", "  ", "x\n", "\n\n", "<|t|>", "é", "{", "}", "\t", "%", "#") for _ in range(self.rng.randint(0, 4)))

    def tag(self, inside):
        return "{%" + self.pick("", "", "-", "+") + " " + inside + " " + self.pick("", "", "-", "+") + "%}"

    def statement(self, depth):
        kind = self.rng.randrange(16) if depth > 0 else self.rng.randrange(6)
        e = lambda: self.expression(self.rng.choice([0, 1, 1, 1, 2]))  # noqa: E731
        body = lambda: self.body(depth - 1)  # noqa: E731
        t = self.tag
        if kind < 4:
            return "{{" + self.pick("", "", "-") + " " + e() + " " + self.pick("", "", "-") + "}}"
        if kind == 4:
            return "{#" + self.pick("", "-", "+") + " c " + self.pick("", "-", "+") + "#}"
        if kind == 5:
            return t(f"set {self.pick('s', 'v', 'n', 'u')} = {e()}")
        if kind < 9:
            out = t(f"if {e()}") + body()
            if self.rng.random() < 0.4:
                out += t(f"elif {e()}") + body()
            if self.rng.random() < 0.5:
                out += t("else") + body()
            return out + t("endif")
        if kind < 12:
            over = self.pick("l", "m", "messages", "range(3)", "d", "'abc'", "u", e())
            out = t(f"for i in {over}" + (f" if {self.pick('i', 'i != 1', 'loop is undefined', 'i is string')}" if self.rng.random() < 0.3 else "")) + body()
            if self.rng.random() < 0.3:
                out += t(f"if {self.pick('loop.last', 'loop.index == 2', 'i == 1')}") + t(self.pick("break", "continue")) + t("endif") + body()
            if self.rng.random() < 0.3:
                out += t("else") + body()
            return out + t("endfor")
        if kind == 12:
            return t("for k, v in d.items()") + "{{ k }}" + body() + t("endfor")
        if kind == 13:
            return t(f"set {self.pick('s', 'v')}") + body() + t("endset")
        if kind == 14:
            return t(f"set ns.v = {e()}")
        return self.pick(t("generation") + body() + t("endgeneration"), t("filter upper") + body() + t("endfilter"),
                         t("macro f1(a, b='B')") + "<{{ a }}{{ b }}>" + body() + t("endmacro"))

    def body(self, depth):
        return "".join(self.text() + self.statement(depth) for _ in range(self.rng.choice([1, 1, 2]))) + self.text()

    def template(self):
        head = "{%- macro f1(a, b=1) -%}({{ a }},{{ b }}){%- endmacro -%}{%- set ns = namespace(v=0) -%}" if self.rng.random() < 0.7 else ""
        return head + self.body(2)


# What render_chat makes of conversations, against published templates

PUBLISHED = {"llama3": "meta-llama-Llama-3.2-3B-Instruct", "gemma": "google-gemma-3-4b-it", "mistral": "mistralai-Mistral-Nemo-Instruct-2407",
             "ministral": "mistralai-Ministral-3-14B-Reasoning-2512", "chatml": "Qwen-Qwen2.5-7B-Instruct"}
DEFAULT_SYSTEM = {"ministral", "chatml"}  # these add a text of their own when there is no system message


def turn(role, text, **more):
    return {"role": role, "content": text, **more}


def called(*names, text=""):
    calls = [{"id": f"abcdefgh{i}", "type": "function", "function": {"name": name, "arguments": ARGUMENTS[i]}}
             for i, name in enumerate(names)]
    return turn("assistant", text, tool_calls=calls)


SYSTEM = turn("system", "Be brief, naïve & <kind>.\n")
ASKED = [turn("user", " Hello "), turn("assistant", " Hi, \"you\".\n"), turn("user", "And 東京?")]
ROUND = [turn("user", "Weather in Paris?"), called("get_weather"), turn("tool", "22 °C", tool_call_id="abcdefgh0", name="get_weather")]
TALKS = [ASKED[:1], [SYSTEM] + ASKED[:1], ASKED, [SYSTEM] + ASKED, [SYSTEM] + ASKED[:2], ROUND, [SYSTEM] + ROUND,
         [SYSTEM] + ROUND + [turn("assistant", "22 degrees.")], [SYSTEM] + ROUND + [turn("assistant", "22 degrees.")] + ASKED[:1],
         [SYSTEM, ROUND[0], called("get_weather", text=None), ROUND[2]], [SYSTEM, ROUND[0], called("get_weather", text="Let me see."), ROUND[2]],
         [SYSTEM, ROUND[0], called("get_weather", "add"), ROUND[2], turn("tool", "{\"sum\": 4}", tool_call_id="abcdefgh1", name="add")]]
# Without "return": Mistral's templates drop it.
ASKED_TOOLS = [{"type": "function", "function": {k: v for k, v in tool["function"].items() if k != "return"}} for tool in TOOLS[:2]]


def as_openai(messages):
    """Arguments as text, and every other content as a part."""
    out = json.loads(json.dumps(messages))
    for i, message in enumerate(out):
        for one in message.get("tool_calls", []):
            one["function"]["arguments"] = json.dumps(one["function"]["arguments"], ensure_ascii=False)
        if i % 2 and message["content"]:
            message["content"] = [{"type": "text", "text": message["content"]}]
    return out


def prompts(directory, by_family):
    out = []
    names = PUBLISHED.items() if by_family else ((p.stem, p.stem) for p in sorted(directory.glob("*.jinja")))
    for family, name in names:
        source = (directory / f"{name}.jinja").read_text(encoding="utf-8")
        template = chat_template_utils._compile_jinja_template(source)
        reads_tools = "tools" in source  # otherwise render_chat has its own way with tools
        for messages in TALKS:
            for tools in (None, ASKED_TOOLS):
                if by_family and family in DEFAULT_SYSTEM and messages[0]["role"] != "system":
                    continue
                if not reads_tools and (tools or any("tool_calls" in m for m in messages)):
                    continue
                for generate in (True, False) if messages is TALKS[1] or not by_family else (True,):
                    try:
                        text = template.render(messages=messages, tools=tools, documents=None, add_generation_prompt=generate,
                                               bos_token="<s>", eos_token="</s>")
                    except (jinja2.TemplateError, TypeError):
                        continue
                    out.append([family if by_family else source, as_openai(messages), tools, generate, text])
    return out


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--templates", type=pathlib.Path, help="directory of *.jinja files")
parser.add_argument("--conversations", type=int, default=200, help="random ones per template")
parser.add_argument("--random", type=int, help="so many templates from a grammar")
parser.add_argument("--prompts", type=pathlib.Path, help="directory of published templates")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--out", type=pathlib.Path)
args = parser.parse_args()
golden = pathlib.Path(__file__).resolve().parents[2] / "tests/golden"
cases, rng = Cases(), random.Random(args.seed)
if args.prompts:
    path = args.out or golden / "chat_prompts.json"
    made = prompts(args.prompts, args.out is None)
    path.write_text(json.dumps({"now": NOW, "prompts": made}, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    print(f"{path}: {len(made)} prompts")
elif args.templates:
    conversations = FIXED + [variables(rng) for _ in range(args.conversations)]
    for path in sorted(args.templates.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        for one in conversations:
            cases.add(source, one)
    cases.write(args.out)
elif args.random:
    grammar = Grammar(rng)
    for _ in range(args.random):
        cases.add(grammar.template(), Grammar.VALUES)
    cases.write(args.out)
else:
    for source in LINES + FEATURES.split("\n"):
        cases.add(source, OURS)
    cases.write(golden / "chat_templates.json", indent=0)
