//! The language of alert texts: which filters, tests and statements there are, and how a value is
//! shown. It knows no rule and no alert.

use std::sync::LazyLock;

use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{Environment, Error, Output, State, UndefinedBehavior, filters};

/// Characters of one value in a text, so that room is left for the words around it.
pub const MAX_VALUE: usize = 256;
/// Instructions of one rendering. A text of a few lines needs tens; a loop over all the values that a
/// group may keep some ten thousand.
const FUEL: u64 = 100_000;
/// Templates within templates' own recursion; ours have none.
const RECURSION: usize = 16;
/// What an absent value looks like.
const ABSENT: &str = "-";
/// Statements that a text may use. All others define, include or escape.
pub(super) const STATEMENTS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];

/// Filters by name and function. Each leaves an absent value absent, but for `default`.
macro_rules! filters {
    ($($name:ident),* $(,)?) => {
        pub(super) const FILTERS: &[&str] = &["default", "d", "round", $(stringify!($name)),*];

        fn add_filters(environment: &mut Environment<'static>) {
            environment.add_filter("default", default);
            environment.add_filter("d", default);
            environment.add_filter("round", round);
            $({
                let inner = concat!("of_a_value_", stringify!($name));
                environment.add_filter(inner, filters::$name);
                environment.add_filter(stringify!($name), move |state: &mut State, value: Value, rest: Rest<Value>| {
                    if is_absent(&value) {
                        return Ok(Value::UNDEFINED);
                    }
                    let arguments: Vec<Value> = std::iter::once(value).chain(rest.0).collect();
                    state.apply_filter(inner, &arguments)
                });
            })*
        }
    };
}

filters!(
    abs, bool, capitalize, first, float, int, join, last, length, list, lower, max, min, replace, reverse,
    sort, split, string, sum, title, trim, unique, upper,
);

/// Rounded as people do, a half away from zero; absent and text stay what they are.
fn round(value: Value, places: Option<i32>) -> Value {
    match f64::try_from(value.clone()) {
        Ok(number) if value.kind() == ValueKind::Number => {
            let scale = 10_f64.powi(places.unwrap_or(0).clamp(0, 9));
            Value::from((number * scale).round() / scale)
        }
        Ok(_) | Err(_) => value,
    }
}

/// The tests of `{% if x is .. %}`, by name and function.
macro_rules! tests {
    ($($name:literal: $test:expr),* $(,)?) => {
        pub(super) const TESTS: &[&str] = &[$($name),*];

        fn add_tests(environment: &mut Environment<'static>) {
            $(environment.add_test($name, $test);)*
        }
    };
}

tests! {
    "defined": |value: &Value| !is_absent(value),
    "undefined": is_absent,
    "none": is_absent,
    "number": |value: &Value| value.kind() == ValueKind::Number,
    "integer": |value: &Value| value.is_integer(),
    "string": |value: &Value| value.kind() == ValueKind::String,
    "startingwith": |value: &Value, other: &str| value.as_str().is_some_and(|text| text.starts_with(other)),
    "endingwith": |value: &Value, other: &str| value.as_str().is_some_and(|text| text.ends_with(other)),
}

fn is_absent(value: &Value) -> bool {
    value.is_undefined() || value.is_none()
}

/// The value, or `other` where it is absent.
fn default(value: Value, other: Option<Value>) -> Value {
    if is_absent(&value) { other.unwrap_or_else(|| Value::from("")) } else { value }
}

/// An environment without a template.
pub(super) static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    add_filters(&mut environment);
    add_tests(&mut environment);
    environment.set_debug(true);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    // Names are held against the scope when a text loads; what is absent then is a value's affair.
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_formatter(show);
    environment
});

/// Writes one value as people read it.
fn show(out: &mut Output, _: &mut State, value: &Value) -> Result<(), Error> {
    out.write_str(&clean(&shown(value), MAX_VALUE)).map_err(Error::from)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds show as minijinja spells them")]
fn shown(value: &Value) -> String {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => ABSENT.to_owned(),
        ValueKind::Bool => value.is_true().to_string(),
        ValueKind::Number if !value.is_integer() => {
            f64::try_from(value.clone()).map_or_else(|_| value.to_string(), |number| number.to_string())
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let parts = value.try_iter().map(|items| items.map(|item| shown(&item)).collect::<Vec<_>>());
            parts.unwrap_or_default().join(", ")
        }
        _ => value.to_string(),
    }
}

/// One line of at most `most` characters: breaks become spaces. What hides or commands stays what it is:
/// a sink spells it out, and spelt here it would be spelt twice.
pub(super) fn clean(text: &str, most: usize) -> String {
    let mut cleaned = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == most {
            cleaned.pop();
            cleaned.push('…');
            break;
        }
        match c {
            '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => cleaned.push(' '),
            c => cleaned.push(c),
        }
    }
    cleaned
}
