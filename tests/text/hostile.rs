//! Templates that would run without end or fill the memory.

use std::fmt::Write;
use std::time::Duration;
use std::time::Instant;

use serde_json::json;
use tiefsee::Error;
use tiefsee::text::ChatTemplate;

use crate::template;
use crate::user;

/// Runs a template on a short conversation; it must fail as a template, and soon.
///
/// The limit is 100 ms on an idle machine; tests run beside each other.
fn must_fail(source: &str) {
    let start = Instant::now();
    let compiled = ChatTemplate::from_config(&json!({}), Some(source));
    let result = compiled.and_then(|template| template.render(&[user("hello")], true));
    let took = start.elapsed();
    let error = result.map(|text| text.len()).expect_err(source);
    assert!(matches!(error, Error::Template(_)), "{source}: {error}");
    assert!(error.to_string().len() < 2000, "{source}");
    assert!(took < Duration::from_millis(400), "{source} took {took:?}");
}

#[test]
fn loops_end() {
    must_fail("{% for i in range(10**12) %}x{% endfor %}");
    must_fail("{% for i in range(100000) %}{{ i }}{% endfor %}");
    must_fail("{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}");
    must_fail(
        "{% for i in range(99999) %}{% for j in range(99999) %}{% if j %}{% continue %}{% endif %}{% endfor %}{% endfor %}",
    );
    must_fail("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}");
    must_fail("{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}");
    must_fail("{% include 'chat' %}");
    must_fail("{% extends 'chat' %}");
    must_fail("{% for x in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}");
    must_fail(
        "{{ range(99999) | map('string') | list | length }}{{ (range(99999) | list) * 9 | list }}",
    );
}

#[test]
fn strings_stay_small() {
    must_fail("{{ 'x' * 10**9 }}");
    must_fail("{{ 'x' * 99999999 }}");
    must_fail("{% set s = 'x' * 99999999 %}{{ s | length }}");
    must_fail(
        "{% set ns = namespace(s='xx') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    );
    must_fail(
        "{% set ns = namespace(s='xx') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    );
    must_fail("{% for i in range(9999) %}{{ 'x' * 9999 }}{% endfor %}");
    must_fail("{% set s %}{% for i in range(9999) %}{{ 'x' * 9999 }}{% endfor %}{% endset %}");
    must_fail("{{ ('x' * 99999) | replace('x', 'y' * 99999) }}");
    must_fail("{{ ('x' * 99999).replace('', 'y' * 99999) }}");
    must_fail("{{ ('x' * 99999).join(range(99999)) }}");
    must_fail("{{ ('x' * 400000).split('x') | length }}");
    must_fail("{{ ('x' * 400000) | split('x') | length }}");
    must_fail("{{ ('\\n' * 400000) | lines | length }}");
    must_fail("{{ ('x' * 400000) | list | length }}");
    must_fail("{{ '%999999999s' | format('x') }}");
    must_fail("{{ '{:999999999999}'.format('x') }}");
    must_fail("{{ '{:99999999999999999999999999}'.format('x') }}");
    must_fail("{{ ('{:999}' * 60000).format('x') }}");
    must_fail("{{ ('{0}' * 60000).format('x' * 200000) }}");
    must_fail("{{ ('%(a)s' * 60000) | format(a='x' * 200000) }}");
    must_fail("{{ raise_exception('x' * 500000) }}");
    must_fail("{{ [1] | tojson(indent=1000000000) }}");
    must_fail("{{ 10 ** 10 ** 10 }}");
}

#[test]
fn lists_stay_small() {
    let doubled = "{% set ns = namespace(x=['a']) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
    let uses = [
        "{{ ns.x }}",
        "{{ ns.x | string }}",
        "{{ ns.x | join }}",
        "{{ ''.join(ns.x) }}",
        "{{ ns.x | tojson }}",
        "{{ '{}'.format(ns.x) }}",
        "{{ '%s' | format(ns.x) }}",
        "{{ ns.x | upper }}",
        "{{ ns.x | trim }}",
        "{{ 'a' | replace('a', ns.x) }}",
        "{% set s %}{{ ns.x }}{% endset %}",
        "{{ {'a': ns.x} }}",
    ];
    for used in uses {
        must_fail(&format!("{doubled}{used}"));
    }
    must_fail("{{ [1] * 100000000 }}");
    must_fail("{{ ([1] * 100000000) | string }}");
    must_fail("{{ ([1] * 100000000) | tojson }}");
    must_fail("{{ ([1] * 100000000) | list | length }}");
    must_fail("{{ ([1] * 100000000) | join }}");
    must_fail("{{ ''.join([('x' * 99999)] * 99999) }}");
    must_fail("{{ ([('x' * 99999)] * 99999) | join }}");
    must_fail("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}");
    must_fail("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns | tojson }}");
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    let deep = "{% set ns = namespace(x=[]) %}{% for i in range(1200) %}{% set ns.x = [ns.x] %}{% endfor %}";
    for used in ["{{ ns.x }}", "{{ ns.x | string }}", "{{ ns.x | tojson }}"] {
        must_fail(&format!("{deep}{used}"));
    }
    template(&format!("{deep}fine")).render(&[], true).unwrap();
    must_fail(&format!(
        "{{{{ {}1{} }}}}",
        "(".repeat(5000),
        ")".repeat(5000)
    ));
    must_fail(&format!(
        "{{{{ {}1{} }}}}",
        "[".repeat(5000),
        "]".repeat(5000)
    ));
}

#[test]
fn long_chains_do_not_exhaust_the_stack() {
    let links = [
        "not ",
        "-",
        "a+",
        "a**",
        "a~",
        "a and ",
        "a or ",
        "a<",
        "a.",
        "a == ",
        "a in ",
        "1 if 1 else ",
        "'x'+",
        "{}~",
        "{'a': '}}'}~",
        "'}}' + ",
        "'\\'}}' + ",
        "[1]+",
        "a is none and ",
    ];
    for count in [5000, 100_000] {
        for link in links {
            must_fail(&format!("{{{{ {}a }}}}", link.repeat(count)));
            must_fail(&format!("{{% set x = {}a %}}", link.repeat(count)));
        }
        for link in ["[0]", "()", "|d", "(a)", "[{}]", ".a", "|d('%}')"] {
            must_fail(&format!("{{{{ a{} }}}}", link.repeat(count)));
            must_fail(&format!("{{% if a{} %}}{{% endif %}}", link.repeat(count)));
        }
        must_fail(&format!(
            "{{% if a %}}{}{{% endif %}}",
            "{% elif a %}".repeat(count)
        ));
        must_fail(&format!(
            "{{% if a %}}{}{{% endif %}}",
            "{%-elif a -%}".repeat(count)
        ));
        must_fail(&"{% if x %}".repeat(count));
        must_fail(&format!(
            "{{% raw %}} endraw {{# {{% endraw %}}{{{{ {}1 }}}}",
            "-".repeat(count)
        ));
        must_fail(&format!("{{# {{{{ ' #}}{{{{ {}1 }}}}", "-".repeat(count)));
    }
}

#[test]
fn templates_that_are_not_templates_fail() {
    must_fail("{% if %}");
    must_fail("{{ 'a");
    must_fail("{% endfor %}");
    must_fail("{{ messages[0].content.nothing() }}");
    must_fail("{{ nothing() }}");
    must_fail("{{ 'a' | nothing }}");
    must_fail("{{ nothing.at.all }}");
    must_fail("{{ 1 / 0 }}");
    must_fail(&"x".repeat(2 << 20));
}

#[test]
fn long_conversations_are_no_attack() {
    let source = crate::chat::R1;
    let mut long = String::new();
    for i in 0..40_000 {
        write!(long, "line {i} of a long text\n\n").unwrap();
    }
    let one = template(source).render(&[user(&long)], true).unwrap();
    assert!(one.len() > long.len());
    let mut turns = Vec::new();
    for i in 0..2000 {
        turns.push(user(&format!("question {i}")));
        turns.push(crate::assistant(&format!("<think>{i}</think>answer {i}")));
    }
    let many = template(source).render(&turns, true).unwrap();
    assert!(many.ends_with("<｜Assistant｜><think>\n"));
}
