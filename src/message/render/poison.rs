//! Templates and data that try to end the process: each results in an error or an email, on a small stack.

use super::*;

/// A fraction of the stack of a Lambda function's main thread (8 MB), although builds without optimization
/// need more.
const STACK_BYTES: usize = 1024 * 1024;

/// Compiles and renders on a thread with a small stack: a stack overflow would end the test's process.
fn outcome(html: &str, variables: &str) -> Result<String, String> {
    let source = Source {
        campaign_name: "Spring".into(),
        subject: "x".into(),
        html: Some(html.into()),
        text: None,
        variables: Some(r#"{"deep": {"a": [1]}}"#.into()),
        transactional: true,
        link_parameters: None,
    };
    let variables = variables.to_owned();
    std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let templates = Templates::compile(source).map_err(|error| error.to_string())?;
            let person = Person {
                email: "ada@example.com",
                name: None,
                variables: Some(&variables),
                unsubscribe_url: None,
            };
            let content = templates.render(&person).map_err(|error| error.to_string())?;
            Ok(content.html.unwrap_or_default())
        })
        .unwrap()
        .join()
        .unwrap_or_else(|_| Err("it panicked".to_owned()))
}

fn refused(html: &str) -> String {
    outcome(html, "{}").expect_err(&html[..html.len().min(60)])
}

#[test]
fn a_template_that_is_too_deep_does_not_compile() {
    let many = |unit: &str| unit.repeat(50_000);
    for html in [
        format!("{{{{ 1{} }}}}", "+1".repeat(29_000)),
        format!("{{{{ 1{} }}}}", many("*1")),
        format!("{{{{ 1{} }}}}", many("**1")),
        format!("{{{{ a{} }}}}", many("|upper")),
        format!("{{{{ a{} }}}}", many(".a")),
        format!("{{{{ a{} }}}}", many("~a")),
        format!("{{{{ a{} }}}}", many("[0]")),
        format!("{{{{ a{} }}}}", many("()")),
        format!("{{{{ a{} }}}}", many(" or a")),
        format!("{{{{ a{} }}}}", many(" is defined")),
        format!("{{{{ a{} }}}}", many(" if a else a")),
        format!("{{{{ a{} }}}}", many(" if a")),
        format!("{{{{ a{} }}}}", many(" < a")),
        format!("{{{{ {} a }}}}", many("not ")),
        format!("{{{{ {} 1 }}}}", many("-")),
        format!("{{{{ {} }}}}", many("(")),
        format!("{{{{ {} }}}}", many("[")),
        format!("{{{{ {} }}}}", many("{1:")),
        format!("{{{{ {} }}}}", many("a[")),
        format!("{{{{ {} }}}}", many("f(")),
        format!("{{% set {} = 1 %}}", many("(")),
        format!("{{% set a{} = 1 %}}", many(".a")),
        format!("{{% filter upper{} %}}", many("|upper")),
        format!("{{% if a %}}{}{{% endif %}}", many("{% elif a %}")),
        many("{% if a %}"),
        many("{% if a %}{% else %}"),
        many("{% for a in b %}"),
        many("{% with a = 1 %}"),
        many("{% macro a() %}"),
        many("{% call a() %}"),
        many("{% filter upper %}"),
        many("{% autoescape true %}"),
        many("{% set a %}"),
        many("{% set x = [x] %}"),
        many("{% set x = {'a': x} %}"),
        many("{% set x = (x,) %}"),
        many("{% set x = x|batch(1)|list %}"),
        format!("{{% with a = 1{} %}}{{% endwith %}}", ", a = [a]".repeat(200)),
        "\n".repeat(70_000) + "{{ a",
    ] {
        let error = refused(&html);
        assert!(error.starts_with("the template does not compile: "), "{error}");
        assert!(error.contains(" (html, line "), "{error}");
    }
}

#[test]
fn what_the_limits_allow_is_compiled_rendered_and_dropped() {
    let (open, close) = ("[".repeat(19), "]".repeat(19));
    for html in [
        format!("{{{{ 1{} }}}}", "+1".repeat(100)),
        format!("{{{{ 1{} }}}}", "|string".repeat(100)),
        format!("{{{{ {} 1 }}}}", "not ".repeat(100)),
        format!("{{{{ {} 1 }}}}", "-".repeat(100)),
        format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(50)),
        format!("{{{{ {open}1{close} }}}}"),
        format!("{{{{ {open}{}1{close} }}}}", "-".repeat(80)),
        "{% if 1 %}".repeat(99)
            + &format!("{{{{ {open}{}1{close} }}}}", "-".repeat(80))
            + &"{% endif %}".repeat(99),
        "{% for a in [1] %}".repeat(99) + &"{% endfor %}".repeat(99),
        format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(99)),
        "{% set x = 1 %}".to_owned()
            + &"{% set x = [x] %}".repeat(99)
            + "{{ x }}{{ x|tojson }}{{ x == [x] }}{{ x|string }}",
        "{% set n = namespace() %}{% set n.a = n|items %}{{ n }}".to_owned(),
        "{% set x = 1 %}{% for i in range(900) %}{% set x = [x] %}{% endfor %}{{ x }}".to_owned(),
    ] {
        if let Err(error) = outcome(&html, "{}") {
            panic!("{error}: {}", &html[..html.len().min(80)]);
        }
    }
}

#[test]
fn nothing_holds_itself_and_nothing_calls_itself_without_end() {
    for (html, reason) in [
        ("{% set n = namespace() %}{% set n.a = n %}{{ n }}", "an attribute of a namespace holds"),
        ("{% set n = namespace() %}{% set n.a = [{'b': n}] %}{{ n }}", "an attribute of a namespace holds"),
        (
            "{% set n = namespace() %}{% set n.a = 1 %}{% for i in range(99) %}{% set n.a = [n.a] %}{% endfor %}{{ n }}",
            "an attribute of a namespace holds",
        ),
        ("{% set n = namespace() %}{% set n.a, b = n, n %}{{ n }}", "an attribute of a namespace holds"),
        ("{% set n = namespace() %}{% set (n.a) = n %}{{ n }}", "an attribute of a namespace holds"),
        (
            "{% set n = namespace() %}{% set n.a %}{% endset %}{% set n . a = n %}{{ n }}",
            "an attribute of a namespace holds",
        ),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion limit exceeded"),
        ("{% macro m(x) %}{{ m([x]) }}{% endmacro %}{{ m(1) }}", "recursion limit exceeded"),
        ("{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}", ""),
        ("{% for a in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}", "recursion limit exceeded"),
        ("{{ range(10**9) }}", ""),
        ("{{ 'a' * 10**9 }}", ""),
        ("{{ 10**10**10 }}", ""),
        ("{{ 'a'|center(10**9) }}", ""),
        ("{{ 'a'|indent(10**9) }}", ""),
        ("{{ '%1000000000d'|format(1) }}", ""),
        ("{{ '%.1000000000f'|format(1) }}", ""),
        ("{% set x = 'a' * 100000 %}{{ x|replace('a', x) }}", ""),
        ("{% set x = range(90000)|list %}{{ ([x] * 1000)|map('join', ',')|list }}", ""),
        (
            "{% set x = 'a' * 100000 %}{% for i in range(90000) %}{% if x in x ~ 'b' %}{% endif %}{% endfor %}",
            "",
        ),
        ("{% for i in range(90000) %}{% set x = range(90000)|sort %}{% endfor %}", ""),
        ("{{ 'a'|batch(10**9, 'x')|list }}", ""),
        ("{{ range(9)|slice(10**9)|list }}", ""),
    ] {
        let error = refused(html);
        assert!(error.contains(reason), "{html}: {error}");
        assert!(error.contains("(html"), "{html}: {error}");
    }
}

#[test]
fn an_ordinary_namespace_counts_and_gathers() {
    let html = "{% set n = namespace(sum=0, all=[]) %}{% for i in [1, 2] %}{% set n.sum = n.sum + i %}\
                {% set n.all = n.all + [i] %}{% endfor %}{{ n.sum }} {{ n.all }}";
    assert_eq!(outcome(html, "{}").unwrap(), "3 [1, 2]");
}

#[test]
fn deep_data_is_an_error_of_its_recipient() {
    let deep = |depth: usize| format!("{{\"x\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    let error = outcome("{{ x }}", &deep(100_000)).unwrap_err();
    assert_eq!(error, "the recipient's variables are nested more than 127 deep");
    assert!(outcome("{{ x }}{{ x|tojson }}{{ x == x }}", &deep(126)).is_ok());
}
