//! Who may name whom, and what the core may not hold. The table here is the architecture.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// The core: same records in, same alerts out.
const CORE: [&str; 5] = ["record", "rule", "alert", "route", "engine"];

/// What each module may name besides itself. The last ones may name anything, and nobody names them.
const MAY_NAME: [(&str, &[&str]); 13] = [
    ("sign", &[]),
    ("record", &[]),
    ("alert", &["record"]),
    ("rule", &["record", "alert"]),
    ("route", &["record", "alert"]),
    ("engine", &["record", "alert", "rule", "route"]),
    ("config", &CORE),
    ("source", &["record", "rule", "alert", "route", "engine", "config", "sign"]),
    ("deliver", &["record", "rule", "alert", "route", "engine", "config", "sign"]),
    ("simulate", &["record", "rule", "alert", "route", "engine", "config"]),
    ("store", &CORE),
    (
        "daemon",
        &["record", "rule", "alert", "route", "engine", "config", "source", "deliver", "simulate", "store"],
    ),
    (
        "cli",
        &[
            "record", "rule", "alert", "route", "engine", "config", "source", "deliver", "simulate", "store",
            "daemon",
        ],
    ),
];

/// The crate's two roots: they name everything.
const ROOTS: [&str; 2] = ["lib", "main"];

/// Paths that the core does not name: files, sockets, environment, clocks, threads, logs, chance.
const NOT_IN_CORE: [&str; 19] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "std::process",
    "std::os",
    "std::time",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "chrono::Local",
    "rand",
    "fastrand",
    "getrandom",
    "tracing",
    "log",
    "tokio",
    "rayon",
    "tempfile",
];

/// Exceptions to them: values, which do nothing.
const VALUES: [&str; 5] = [
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::net::AddrParseError",
    "std::time::Duration",
];

/// What reads a clock wherever it comes from.
const CLOCKS: [&str; 4] = ["SystemTime", "Instant", "Utc::now", "Local::now"];

/// Macros that talk.
const TALK: [&str; 5] = ["println", "eprintln", "print", "eprint", "dbg"];

/// All that one file names.
#[derive(Debug, Default)]
struct Named {
    /// Where in the crate it stands: `rule`, `verb`, `count`.
    module: Vec<String>,
    /// Paths, `crate::` first for those of this crate.
    paths: BTreeSet<String>,
    macros: BTreeSet<String>,
    is_async: bool,
}

impl Named {
    fn in_file(module: &[&str], text: &str) -> Self {
        let file = syn::parse_file(text).unwrap();
        let module = module.iter().map(|part| (*part).to_owned()).collect();
        let mut named = Self { module, ..Self::default() };
        named.visit_file(&file);
        named
    }

    /// Notes a path, with `self` and `super` made plain.
    fn add(&mut self, segments: &[String]) {
        let supers = segments.iter().take_while(|part| *part == "super" || *part == "self").count();
        let up = segments[..supers].iter().filter(|part| *part == "super").count();
        let mut path: Vec<String> = Vec::new();
        if supers > 0 {
            path.push("crate".to_owned());
            path.extend_from_slice(&self.module[..self.module.len().saturating_sub(up)]);
        }
        path.extend_from_slice(&segments[supers..]);
        self.paths.insert(path.join("::"));
    }

    fn add_use(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.add_use(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) if name.ident == "self" => self.add(before),
            syn::UseTree::Name(name) => self.add(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.add(&[before, &["*".to_owned()]].concat()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.add_use(item, before)),
        }
    }

    /// Macros are tokens; paths in them are found as such.
    fn add_tokens(&mut self, tokens: proc_macro2::TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut joined = false;
        for token in tokens {
            match token {
                proc_macro2::TokenTree::Ident(ident) => {
                    if !joined {
                        self.end_path(&mut path);
                    }
                    path.push(ident.to_string());
                    joined = false;
                }
                proc_macro2::TokenTree::Punct(punct) if punct.as_char() == ':' => joined = true,
                proc_macro2::TokenTree::Punct(punct) => {
                    if punct.as_char() == '!' && !path.is_empty() {
                        self.macros.insert(path.last().cloned().unwrap_or_default());
                    }
                    self.end_path(&mut path);
                    joined = false;
                }
                proc_macro2::TokenTree::Group(group) => {
                    self.end_path(&mut path);
                    joined = false;
                    self.add_tokens(group.stream());
                }
                proc_macro2::TokenTree::Literal(_) => self.end_path(&mut path),
            }
        }
        self.end_path(&mut path);
    }

    fn end_path(&mut self, path: &mut Vec<String>) {
        if !path.is_empty() {
            self.add(path);
            path.clear();
        }
    }

    /// The modules of this crate that the file names.
    fn modules(&self) -> BTreeSet<&str> {
        let own = self.paths.iter().filter_map(|path| path.strip_prefix("crate::"));
        own.filter_map(|path| path.split("::").next()).collect()
    }

    /// What breaks the table, in words.
    fn faults(&self) -> Vec<String> {
        let module = self.module[0].as_str();
        let mut faults = Vec::new();
        let Some((_, may)) = MAY_NAME.iter().find(|(name, _)| *name == module) else {
            return if ROOTS.contains(&module) {
                faults
            } else {
                vec![format!("`{module}` is not in the table")]
            };
        };
        let strange = |name: &&&str| **name != module && !may.contains(*name);
        for name in self.modules().iter().filter(strange) {
            faults.push(format!("`{module}` may not name `{name}`"));
        }
        if !CORE.contains(&module) {
            return faults;
        }
        let is_in = |path: &str, prefix: &str| {
            // One word by itself is a name of the file's own.
            let whole = prefix.contains("::");
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() && whole || rest.starts_with("::"))
        };
        for path in &self.paths {
            let forbidden = NOT_IN_CORE.iter().any(|prefix| is_in(path, prefix));
            let value = VALUES.iter().any(|prefix| is_in(path, prefix));
            let clock = CLOCKS.iter().any(|clock| {
                path == clock
                    || path.starts_with(&format!("{clock}::"))
                    || path.ends_with(&format!("::{clock}")) && clock.contains("::")
            });
            if clock || forbidden && !value {
                faults.push(format!("the core does not name `{path}`"));
            }
        }
        faults.extend(
            self.macros
                .iter()
                .filter(|name| TALK.contains(&name.as_str()))
                .map(|name| format!("the core does not `{name}!`")),
        );
        if self.is_async {
            faults.push("the core is not async".to_owned());
        }
        faults
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds of items stand in no test")]
fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        _ => &[],
    }
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_use(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&segments);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.macros.extend(call.path.segments.last().map(|segment| segment.ident.to_string()));
        self.add_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.is_async |= signature.asyncness.is_some();
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, expr: &'ast syn::ExprAsync) {
        self.is_async = true;
        visit::visit_expr_async(self, expr);
    }

    fn visit_expr_await(&mut self, expr: &'ast syn::ExprAwait) {
        self.is_async = true;
        visit::visit_expr_await(self, expr);
    }
}

/// Every source file, with the module that it is.
fn sources() -> Vec<(PathBuf, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inner = path.strip_prefix(&root).unwrap().with_extension("");
                let mut module: Vec<String> =
                    inner.iter().map(|part| part.to_string_lossy().into_owned()).collect();
                module.pop_if(|last| last == "mod");
                files.push((path, module));
            }
        }
    }
    files.sort();
    files
}

#[expect(clippy::disallowed_methods, reason = "reads the sources")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn modules_name_only_what_the_table_allows() {
    let mut faults = Vec::new();
    for (path, module) in sources() {
        // Test modules in files of their own; `mod tests;` stands under `#[cfg(test)]`.
        if module.iter().any(|part| part == "tests") {
            continue;
        }
        let parts: Vec<&str> = module.iter().map(String::as_str).collect();
        let named = Named::in_file(&parts, &read(&path));
        faults.extend(named.faults().into_iter().map(|fault| format!("{}: {fault}", path.display())));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn modules_of_tests_are_compiled_for_tests_only() {
    for (path, module) in sources() {
        let text = read(&path);
        let opens = text.matches("mod tests;").count();
        assert_eq!(opens, text.matches("#[cfg(test)]\nmod tests;").count(), "{}", path.display());
        assert!(!module.ends_with(&["tests".to_owned()]) || module.len() > 2, "{}", path.display());
    }
}

#[test]
fn what_the_table_forbids_is_seen_however_it_is_spelt() {
    let seen = |module: &[&str], text: &str| Named::in_file(module, text).faults();
    for text in [
        "use crate::engine::Engine;",
        "use crate::{record::Row, engine};",
        "use super::super::engine::Engine;",
        "fn f() { crate::engine::run(); }",
        "fn f(x: &crate::engine::Engine) {}",
        "fn f() { format!(\"{}\", crate::engine::NAME); }",
        "mod inner { use super::super::super::engine::Engine; }",
    ] {
        assert_eq!(seen(&["rule", "verb"], text), ["`rule` may not name `engine`"], "{text}");
    }
    for text in [
        "use std::fs;",
        "use std::{fs::File, sync::Arc};",
        "use std::net::TcpStream;",
        "use std::env;",
        "fn f() { std::time::Instant::now(); }",
        "fn f(now: SystemTime) {}",
        "fn f() { chrono::Utc::now(); }",
        "fn f() { std::thread::spawn(g); }",
        "fn f() { log::info!(\"x\"); }",
        "fn f() { vec![std::env::var(\"x\")]; }",
        "fn f() { println!(\"x\"); }",
        "fn f() { vec![println!(\"x\")]; }",
        "async fn f() {}",
        "fn f() { async { g().await }; }",
        "use rand::Rng;",
        "use crate::*;",
    ] {
        assert_eq!(seen(&["record", "time"], text).len(), 1, "{text}");
    }
    for text in [
        "use std::net::IpAddr;",
        "use std::sync::Arc;",
        "use super::Row;",
        "use chrono::{TimeZone, Utc};",
        "fn f() -> Takes { Takes::Instant }",
        "#[cfg(test)] mod tests { use std::fs; use crate::engine::Engine; }",
        "fn f() { let fs = 1; log(fs); }",
    ] {
        assert_eq!(seen(&["record", "time"], text), Vec::<String>::new(), "{text}");
    }
    assert_eq!(seen(&["wizard"], ""), ["`wizard` is not in the table"]);
}
