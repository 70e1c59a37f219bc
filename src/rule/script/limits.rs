//! What a script may use, and the one engine that compiles and runs every script under it.
//!
//! Everything is set here explicitly, so that a debug and a release build agree. There is no
//! clock among the limits: a slow machine decides nothing. An edge that wants a watchdog on wall
//! time adds it in the engine's progress callback, which runs once an operation.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicIteratorPackage, BasicMapPackage, BasicStringPackage,
    LogicPackage, MoreStringPackage, Package,
};
use rhai::{Dynamic, Engine, EvalAltResult, Module, OptimizationLevel, Position, Shared};

/// Operations of one run; the only limit with a verdict of its own. A run over 64 records needs a
/// few thousand; this is some ten milliseconds.
pub const MAX_OPERATIONS: u64 = 200_000;
/// Calls within calls: enough for a helper that calls a helper, too few for a stack to overflow.
pub const MAX_CALL_DEPTH: usize = 16;
/// Bytes of one string, and of all strings of one array or map together. Natives work on whole
/// strings within one operation, so this bounds what an operation costs.
pub const MAX_STRING: usize = 4096;
/// Elements of one array, counted with those of the arrays within it; four times what `keep` allows.
pub const MAX_ARRAY: usize = 256;
/// Entries of one map, counted with those of the maps within it.
pub const MAX_MAP: usize = 256;
/// Expressions within expressions; the parser and the evaluator recurse as deep.
pub const MAX_EXPR_DEPTH: usize = 64;
/// Variables that exist at once; `record`, `history` and `lists` are three of them.
pub const MAX_VARIABLES: usize = 64;
/// Functions that a script defines, closures included.
pub const MAX_FUNCTIONS: usize = 32;

/// The names that a script finds in scope.
pub(super) const SCOPE: [&str; 3] = ["record", "history", "lists"];

/// Words that are functions in other Rhai hosts and are none here: they would read a clock, wait,
/// write out, or run text as a script.
pub(super) const REFUSED: [&str; 7] = ["debug", "eval", "exit", "import", "print", "sleep", "timestamp"];

thread_local! {
    /// Operations of the run on this thread.
    ///
    /// Rhai's own count starts again from the caller's at each closure that a native calls
    /// (`filter`, `map`), so that nested closures multiply what `max_operations` allows.
    static OPERATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Starts the count of a run.
pub(super) fn start_counting() {
    OPERATIONS.set(0);
}

/// Counts work that one operation hides; the run ends at its next operation if that was too much.
pub(super) fn charge(operations: u64) {
    OPERATIONS.set(OPERATIONS.get().saturating_add(operations));
}

/// An engine that knows the language and nothing of the world.
///
/// The packages are chosen one by one: Rhai's core package brings `sleep` and `exit`, which cannot
/// be taken away afterwards.
pub(super) fn engine() -> Engine {
    static PACKAGES: LazyLock<Vec<Shared<Module>>> = LazyLock::new(|| {
        vec![
            ArithmeticPackage::new().as_shared_module(),
            LogicPackage::new().as_shared_module(),
            BasicStringPackage::new().as_shared_module(),
            MoreStringPackage::new().as_shared_module(),
            BasicArrayPackage::new().as_shared_module(),
            BasicMapPackage::new().as_shared_module(),
            BasicIteratorPackage::new().as_shared_module(),
        ]
    });
    let mut engine = Engine::new_raw();
    for package in PACKAGES.iter() {
        engine.register_global_module(package.clone());
    }
    // Without `try` every fault ends its run.
    for word in ["eval", "print", "debug", "try"] {
        engine.disable_symbol(word);
    }
    // An optimiser would run parts of a script while it compiles, and has had faults of its own.
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_strict_variables(true);
    engine.set_max_operations(MAX_OPERATIONS);
    engine.set_max_call_levels(MAX_CALL_DEPTH);
    engine.set_max_expr_depths(MAX_EXPR_DEPTH, MAX_EXPR_DEPTH);
    engine.set_max_string_size(MAX_STRING);
    engine.set_max_array_size(MAX_ARRAY);
    engine.set_max_map_size(MAX_MAP);
    engine.set_max_variables(MAX_VARIABLES);
    engine.set_max_functions(MAX_FUNCTIONS);
    watch_variables(&mut engine);
    engine.on_progress(|_| {
        charge(1);
        (OPERATIONS.get() > MAX_OPERATIONS).then_some(Dynamic::UNIT)
    });
    engine
}

/// Looks at every variable as it is read, where Rhai leaves something open.
///
/// A map that grows by `map[key] = value` is not held against its limit. A variable that a closure
/// captures is shared behind a lock, and a lock that is taken is waited for, in wall time.
#[expect(deprecated, reason = "the method is marked so because its form may change, not to be removed")]
fn watch_variables(engine: &mut Engine) {
    engine.on_var(|name, _, context| {
        let Some(value) = context.scope().get(name) else { return Ok(None) };
        if value.is_shared() {
            if SCOPE.contains(&name) {
                // Constants: a copy does as well, and no lock is ever taken on them.
                return Ok(Some(value.flatten_clone()));
            }
            if value.is_locked() {
                let message =
                    format!("a closure reads `{name}` while `{name}` runs it: `let copy = {name};` first");
                return Err(Box::new(EvalAltResult::ErrorTerminated(message.into(), Position::NONE)));
            }
        }
        let mut left = MAX_MAP;
        if fits(value, &mut left) {
            return Ok(None);
        }
        let what = "Size of object map".to_owned();
        Err(Box::new(EvalAltResult::ErrorDataTooLarge(what, Position::NONE)))
    });
}

/// True when the maps in `value` have no more than `left` entries together.
fn fits(value: &Dynamic, left: &mut usize) -> bool {
    let Ok(map) = value.as_map_ref() else { return true };
    match left.checked_sub(map.len()) {
        Some(rest) => {
            *left = rest;
            map.values().all(|value| fits(value, left))
        }
        None => false,
    }
}

/// The functions an engine knows: name to numbers of arguments, a method's receiver counted. A
/// getter stands under Rhai's own name for it, `get$name`.
pub(super) type Known = BTreeMap<String, BTreeSet<usize>>;

/// What `engine` knows, without the words that are refused.
pub(super) fn known(engine: &Engine) -> Known {
    let mut known = Known::new();
    // Rhai answers these itself, without a function of that name.
    for (name, arguments) in [("Fn", 1..=1), ("call", 1..=20), ("curry", 2..=20), ("type_of", 1..=1)] {
        known.entry(name.to_owned()).or_default().extend(arguments);
    }
    let listed = engine.collect_fn_metadata(
        None,
        |function| Some((function.metadata.name.to_string(), function.metadata.num_params)),
        true,
    );
    for (name, arguments) in listed {
        known.entry(name).or_default().insert(arguments);
    }
    for word in REFUSED {
        known.remove(word);
    }
    known
}
