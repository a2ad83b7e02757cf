//! The template engine, set up as chat templates expect it and with every known way to run without
//! end or to fill the memory closed.
//!
//! Never gives a template files, the clock, the network or another template.

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
    let format = Value::from_function(filters::format);
    let call = move |state: &mut State, arguments: Rest<ValueOrKwargs>| {
        let arguments = arguments.into_values();
        if let Some((Some(text), values)) = arguments.split_first().map(|(f, v)| (f.as_str(), v)) {
            python::charge_format(state, text, '%', values)?;
        }
        format.call(state, &arguments)
    };
    environment.add_filter("format", call);
    for unused in ["pprint", "escape", "e", "indent"] {
        environment.remove_filter(unused);
    }
    environment.remove_global("debug");
}
