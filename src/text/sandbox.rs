//! The template engine, set up as chat templates expect it and within the limits of [`guard`].
//!
//! Never gives a template files, the clock, the network or another template. A few
//! things are out of reach, since the engine has no hook for them: `~`, `in` and `indent` with a
//! list where a string is usual, and comparing lists that hold each other many times over. Only a
//! template written to do harm uses them so; it is then charged after the fact.

use minijinja::AutoEscape;
use minijinja::Environment;
use minijinja::Error;
use minijinja::State;
use minijinja::Value;
use minijinja::escape_formatter;
use minijinja::filters;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Rest;
use minijinja::value::ValueOrKwargs;

use super::guard;
use super::python;

/// Macros and includes within each other, in the engine's measure (4 and 10 for one of them).
const RECURSION: usize = 128;

/// An engine without templates and without fuel.
pub(super) fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    environment.set_recursion_limit(RECURSION);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(python::call_method);
    environment.add_function("raise_exception", python::raise_exception);
    environment.add_filter("tojson", python::to_json);
    environment.set_formatter(|out, state, value| {
        if value.as_object().is_some() {
            guard::charge(state, std::slice::from_ref(value), 1)?;
        }
        escape_formatter(out, state, value)
    });
    add_guarded_filters(&mut environment);
    Ok(environment)
}

/// Measures the arguments of filters that turn lists into text.
fn add_guarded_filters(environment: &mut Environment<'static>) {
    let guarded = [
        ("capitalize", Value::from_function(filters::capitalize)),
        ("e", Value::from_function(filters::escape)),
        ("escape", Value::from_function(filters::escape)),
        ("join", Value::from_function(filters::join)),
        ("lower", Value::from_function(filters::lower)),
        ("replace", Value::from_function(filters::replace)),
        ("string", Value::from_function(filters::string)),
        ("title", Value::from_function(filters::title)),
        ("trim", Value::from_function(filters::trim)),
        ("upper", Value::from_function(filters::upper)),
    ];
    for (name, filter) in guarded {
        let call = move |state: &mut State, arguments: Rest<ValueOrKwargs>| {
            let arguments = arguments.into_values();
            guard::charge(state, &arguments, 1)?;
            filter.call(state, &arguments)
        };
        environment.add_filter(name, call);
    }
    for (name, filter, field) in [
        ("format", Value::from_function(filters::format), Some('%')),
        ("split", Value::from_function(filters::split), None),
        ("lines", Value::from_function(filters::lines), None),
    ] {
        let call = move |state: &mut State, arguments: Rest<ValueOrKwargs>| {
            let arguments = arguments.into_values();
            if let Some((Some(text), rest)) = arguments.split_first().map(|(t, r)| (t.as_str(), r))
            {
                match field {
                    Some(field) => python::charge_format(state, text, field, rest)?,
                    None => python::charge_split(state, text, rest)?,
                }
            }
            filter.call(state, &arguments)
        };
        environment.add_filter(name, call);
    }
    environment.remove_filter("pprint");
    environment.remove_global("debug");
}
