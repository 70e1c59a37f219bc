//! What a compiled script calls and reads, learnt from its syntax tree at load.
//!
//! Rhai looks functions and properties up when it reaches them, which in a rule may be weeks after
//! it was written. Here every call and every property is held against what there is. Only names
//! are judged, never types: a script that passes may still fail when it runs.
#![expect(clippy::wildcard_enum_match_arm, reason = "Rhai's syntax tree is open to additions")]

use std::collections::BTreeSet;

use rhai::{AST, ASTFlags, ASTNode, BinaryExpr, Expr, FnCallExpr, Position, Stmt, is_valid_identifier};

use super::helpers::{self, Patterns};
use super::limits::{Known, REFUSED, SCOPE};
use super::view::Layout;
use crate::record::FieldName;
use crate::record::field::{RAW, VOCABULARY};
use crate::rule::suggest::nearest;

/// What a script has besides Rhai, and how it is called.
const HELPERS: [(&str, &str); 6] = [
    ("alert", "alert(#{name: value})"),
    ("cidr", "cidr(ip, net)"),
    ("hour", "hour(time, zone)"),
    ("km", "km(a, b)"),
    ("matches", "matches(text, regex)"),
    ("minutes", "minutes(a, b)"),
];

/// A fault and where in the script it is.
pub(super) struct Fault {
    pub(super) at: Position,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// What a script needs and what is wrong with it.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) layout: Layout,
    pub(super) patterns: Patterns,
    /// Names of the values that `alert(#{..})` is called with, as far as they are spelt out.
    pub(super) alert_names: BTreeSet<String>,
    /// Lists that are read by name, and where first.
    pub(super) lists: Vec<(String, Position)>,
    pub(super) faults: Vec<Fault>,
}

/// Walks `ast` against what the engine knows.
pub(super) fn check(ast: &AST, known: &Known) -> Findings {
    let mut names = Names::default();
    names
        .functions
        .extend(ast.iter_functions().map(|function| (function.name.to_owned(), function.params.len())));
    names.visit_all(ast);
    let mut checker = Checker { known, names, findings: Findings::default() };
    checker.visit_all(ast);
    checker.findings
}

/// Something that looks at every node of a syntax tree.
trait Visitor {
    fn visit(&mut self, path: &[ASTNode]);

    fn visit_all(&mut self, ast: &AST) {
        ast.walk(&mut |path: &[ASTNode]| self.visit_node(path));
    }

    fn visit_node(&mut self, path: &[ASTNode]) -> bool {
        self.visit(path);
        // Rhai's walk leaves out the value of a `break`.
        if let Some(ASTNode::Stmt(Stmt::BreakLoop(Some(value), ..))) = path.last() {
            value.walk(&mut Vec::new(), &mut |path: &[ASTNode]| self.visit_node(path));
        }
        true
    }
}

/// First pass: the names that the script itself makes.
#[derive(Default)]
struct Names {
    functions: BTreeSet<(String, usize)>,
    /// Keys of map literals and properties that are assigned to.
    keys: BTreeSet<String>,
    /// Groups of fields taken as a whole: `let geo = record.geo`.
    groups: BTreeSet<String>,
}

impl Visitor for Names {
    fn visit(&mut self, path: &[ASTNode]) {
        match path.last() {
            Some(ASTNode::Expr(Expr::Map(map, _))) => {
                self.keys.extend(map.0.iter().map(|(key, _)| key.name.to_string()));
            }
            Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => {
                for run in runs(&assignment.1.lhs) {
                    self.keys.extend(run.into_iter().map(|(name, _)| name.to_owned()));
                }
            }
            Some(ASTNode::Expr(expr)) if is_chain_root(path) => {
                for run in runs(expr) {
                    let last = run.last().map(|(name, _)| *name);
                    self.groups.extend(last.filter(|name| is_group(name)).map(str::to_owned));
                }
            }
            _ => {}
        }
    }
}

/// Second pass: judges.
struct Checker<'a> {
    known: &'a Known,
    names: Names,
    findings: Findings,
}

impl Visitor for Checker<'_> {
    fn visit(&mut self, path: &[ASTNode]) {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::FnCall(call, at)) | ASTNode::Expr(Expr::FnCall(call, at))) => {
                self.call(call, 0, *at);
            }
            Some(ASTNode::Expr(Expr::MethodCall(call, at))) => self.call(call, 1, *at),
            Some(ASTNode::Expr(expr)) if is_chain_root(path) => {
                self.race(expr);
                let of_lists = is_lists(expr);
                for (number, run) in runs(expr).into_iter().enumerate() {
                    let run = if of_lists && number == 0 { self.list(&run) } else { &run };
                    self.properties(run);
                }
            }
            Some(ASTNode::Expr(Expr::Variable(variable, _, at)))
                if variable.1.as_str() == LISTS && !is_chain_start(path) =>
            {
                self.bare_lists(*at);
            }
            _ => {}
        }
    }
}

/// The map of lists.
const LISTS: &str = "lists";

/// True for a chain that begins with the map of lists and a name: `lists.egress`.
fn is_lists(chain: &Expr) -> bool {
    let (Expr::Dot(x, ..) | Expr::Index(x, ..)) = chain else { return false };
    let first = match &x.rhs {
        Expr::Dot(next, ..) | Expr::Index(next, ..) if matches!(chain, Expr::Dot(..)) => &next.lhs,
        last => last,
    };
    let named = matches!(first, Expr::Property(..) | Expr::StringConstant(..));
    named && matches!(&x.lhs, Expr::Variable(variable, ..) if variable.1.as_str() == LISTS)
}

/// True where the node at the end of `path` is what a chain of [`is_lists`] begins with.
fn is_chain_start(path: &[ASTNode]) -> bool {
    let [.., ASTNode::Expr(parent), ASTNode::Expr(node)] = path else { return false };
    let (Expr::Dot(x, ..) | Expr::Index(x, ..)) = parent else { return false };
    std::ptr::eq(&raw const x.lhs, *node) && is_lists(parent)
}

impl Checker<'_> {
    fn fault(&mut self, at: Position, message: String, hint: Option<String>) {
        self.findings.faults.push(Fault { at, message, hint });
    }

    /// A call; `receiver` is 1 for a method's, which counts as the first argument.
    fn call(&mut self, call: &FnCallExpr, receiver: usize, at: Position) {
        let name = call.name.as_str();
        if call.op_token.is_some() || !is_valid_identifier(name) {
            return;
        }
        let count = call.args.len() + receiver;
        self.note_helper(call, receiver);
        let own = |count: usize| self.names.functions.contains(&(name.to_owned(), count));
        let of_map = receiver == 1 && self.names.keys.contains(name);
        let native = self.known.get(name);
        // A method call may reach a function of the script with the receiver as its `this`.
        if of_map
            || own(count)
            || (receiver == 1 && own(count - 1))
            || native.is_some_and(|n| n.contains(&count))
        {
            return;
        }
        let own_counts = self.names.functions.iter().filter(|(own, _)| own == name).map(|(_, count)| *count);
        let counts: BTreeSet<usize> = native.into_iter().flatten().copied().chain(own_counts).collect();
        let given = if count == 1 { "1 argument".to_owned() } else { format!("{count} arguments") };
        let receiver = if receiver == 1 { ", what stands before the point counted" } else { "" };
        if counts.is_empty() {
            let hint = self.function_hint(name);
            self.fault(at, format!("no function `{name}` with {given}{receiver}"), Some(hint));
        } else {
            let plural = if counts.last() == Some(&1) { "" } else { "s" };
            let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
            let message =
                format!("`{name}` takes {} argument{plural}, not {count}{receiver}", counts.join(" or "));
            let helper = HELPERS.iter().find(|(helper, _)| *helper == name);
            self.fault(at, message, helper.map(|(_, call)| format!("write `{call}`")));
        }
    }

    /// `all.map(|x| all.len())`: while a method runs over a variable, its closure cannot read it.
    fn race(&mut self, chain: &Expr) {
        let Expr::Dot(x, ..) = chain else { return };
        let first = match &x.rhs {
            Expr::Dot(next, ..) | Expr::Index(next, ..) => &next.lhs,
            last => last,
        };
        let (Expr::Variable(variable, ..), Expr::MethodCall(call, at)) = (&x.lhs, first) else { return };
        let name = variable.1.as_str();
        // A closure that captures is a block which first marks what it shares.
        let reads = |arg: &Expr| {
            match arg {
            Expr::Stmt(block) => block.iter().any(
                |stmt| matches!(stmt, Stmt::Share(shared) if shared.iter().any(|(ident, _)| ident.name == name)),
            ),
            _ => false,
        }
        };
        if !SCOPE.contains(&name) && call.args.iter().any(reads) {
            let message = format!("the closure reads `{name}` while `{}` runs over it", call.name);
            self.fault(*at, message, Some(format!("copy it first: `let copy = {name};`")));
        }
    }

    /// A list that is read by its name; what follows the name.
    fn list<'r, 'n>(&mut self, run: &'r [(&'n str, Position)]) -> &'r [(&'n str, Position)] {
        let Some(((name, at), rest)) = run.split_first() else { return run };
        if !self.findings.lists.iter().any(|(known, _)| known == name) {
            self.findings.lists.push(((*name).to_owned(), *at));
        }
        rest
    }

    /// The map of lists as a whole, or a method of it.
    fn bare_lists(&mut self, at: Position) {
        let hint = "name the list: `record.public_ip in lists.egress`".to_owned();
        self.fault(at, "`lists` is read by the name of a list".to_owned(), Some(hint));
    }

    fn function_hint(&self, name: &str) -> String {
        if REFUSED.contains(&name) {
            return "a script has no clock, no output and cannot wait".to_owned();
        }
        let own = self.names.functions.iter().map(|(name, _)| name.as_str());
        let known = self.known.keys().map(String::as_str).chain(own).filter(|name| is_valid_identifier(name));
        let near = nearest(name, known).map(|name| format!("did you mean `{name}`?"));
        let all = || {
            let helpers: Vec<String> = HELPERS.iter().map(|(_, call)| format!("`{call}`")).collect();
            format!("there are {}, and Rhai's own for texts, arrays, maps and numbers", helpers.join(", "))
        };
        near.unwrap_or_else(all)
    }

    /// What the helpers read of records, and what they are told in so many words.
    fn note_helper(&mut self, call: &FnCallExpr, receiver: usize) {
        let wanted: &[&str] = match call.name.as_str() {
            "km" => &["geo.lat", "geo.lon"],
            "minutes" | "hour" => &["start_time"],
            _ => &[],
        };
        for field in wanted {
            self.findings.layout.want(field);
        }
        if let ("alert", Some(Expr::Map(map, _))) = (call.name.as_str(), call.args.first()) {
            self.findings.alert_names.extend(map.0.iter().map(|(key, _)| key.name.to_string()));
        }
        let Some(Expr::StringConstant(text, at)) = call.args.get(1 - receiver) else { return };
        let read = match call.name.as_str() {
            "matches" => self.findings.patterns.spell(text),
            "cidr" => helpers::network(text).map(drop),
            "hour" => helpers::time_zone(text).map(drop),
            _ => Ok(()),
        };
        if let Err(message) = read {
            self.fault(*at, message, None);
        }
    }

    /// Properties that follow each other: `geo.country`, or `user_name.len`.
    fn properties(&mut self, run: &[(&str, Position)]) {
        let mut rest = run;
        while let Some(((name, at), after)) = rest.split_first() {
            if let Some(taken) = self.field(rest) {
                rest = &rest[taken..];
                continue;
            }
            if is_group(name) && after.is_empty() {
                self.whole_group(name, *at);
            } else if !(self.is_property(name) || is_group(name) && self.names.keys.contains(after[0].0)) {
                self.unknown_property(rest);
                return;
            }
            rest = after;
        }
    }

    /// How many names at the beginning of `run` are a field, which is then wanted.
    fn field(&mut self, run: &[(&str, Position)]) -> Option<usize> {
        let names: Vec<&str> = run.iter().map(|(name, _)| *name).collect();
        let longest = match names.as_slice() {
            // A vendor's name may have points in it; it ends where a property such as `len` begins.
            ["raw", rest @ ..] => 1 + rest.iter().take_while(|name| !self.is_getter(name)).count(),
            all => all.len(),
        };
        (1..=longest).rev().find(|count| self.findings.layout.want(&names[..*count].join(".")))
    }

    fn whole_group(&mut self, group: &str, at: Position) {
        if group == RAW.trim_end_matches('.') {
            let hint = "a vendor field is read by its name: `raw.<name>`".to_owned();
            self.fault(at, "`raw` as a whole cannot be read".to_owned(), Some(hint));
            return;
        }
        for info in VOCABULARY.iter().filter(|info| in_group(info.name, group)) {
            self.findings.layout.want(info.name);
        }
    }

    fn is_getter(&self, name: &str) -> bool {
        self.known.contains_key(&format!("get${name}"))
    }

    fn is_property(&self, name: &str) -> bool {
        let of_group = |group: &String| FieldName::resolve(&format!("{group}.{name}")).is_some();
        self.is_getter(name) || self.names.keys.contains(name) || self.names.groups.iter().any(of_group)
    }

    fn unknown_property(&mut self, run: &[(&str, Position)]) {
        let (name, at) = match run {
            [(group, at), (name, _), ..] if is_group(group) => (format!("{group}.{name}"), *at),
            _ => (run[0].0.to_owned(), run[0].1),
        };
        let keys = self.names.keys.iter().map(String::as_str);
        let spelt =
            VOCABULARY.iter().flat_map(|info| std::iter::once(info.name).chain(info.aliases.iter().copied()));
        let hint = nearest(&name, spelt.chain(keys)).map_or_else(
            || format!("a vendor field without a name here is read as `raw.{name}`"),
            |near| format!("did you mean `{near}`?"),
        );
        self.fault(at, format!("no field `{name}`"), Some(hint));
    }
}

fn in_group(field: &str, group: &str) -> bool {
    field.strip_prefix(group).is_some_and(|rest| rest.starts_with('.'))
}

/// True for the first part of a dotted name.
fn is_group(name: &str) -> bool {
    RAW.trim_end_matches('.') == name || VOCABULARY.iter().any(|info| in_group(info.name, name))
}

/// True when the node at the end of `path` begins a chain of `.name` and `[index]`: chains are
/// nested to the right, `a.b.c` is `a.(b.c)`.
fn is_chain_root(path: &[ASTNode]) -> bool {
    let [.., parent, ASTNode::Expr(node)] = path else {
        return matches!(path, [ASTNode::Expr(Expr::Dot(..) | Expr::Index(..))]);
    };
    if !matches!(node, Expr::Dot(..) | Expr::Index(..)) {
        return false;
    }
    match parent {
        ASTNode::Expr(Expr::Dot(x, ..)) => !std::ptr::eq(&raw const x.rhs, *node),
        ASTNode::Expr(Expr::Index(x, flags, _)) => {
            flags.contains(ASTFlags::BREAK) || !std::ptr::eq(&raw const x.rhs, *node)
        }
        _ => true,
    }
}

/// The runs of names in a chain: those of `history[0].geo.country.len()` are `geo.country`.
fn runs(chain: &Expr) -> Vec<Vec<(&str, Position)>> {
    let mut runs = vec![Vec::new()];
    let mut link = chain;
    while let Expr::Dot(x, flags, _) | Expr::Index(x, flags, _) = link {
        let BinaryExpr { rhs, .. } = &**x;
        let indexes = matches!(link, Expr::Index(..));
        let ends = indexes && flags.contains(ASTFlags::BREAK);
        let (segment, next) = match rhs {
            Expr::Dot(inner, ..) | Expr::Index(inner, ..) if !ends => (&inner.lhs, Some(rhs)),
            last => (last, None),
        };
        match (segment, runs.last_mut()) {
            (Expr::Property(name, at), Some(run)) => run.push((name.2.as_str(), *at)),
            (Expr::StringConstant(name, at), Some(run)) if indexes => run.push((name.as_str(), *at)),
            _ => runs.push(Vec::new()),
        }
        let Some(next) = next else { break };
        link = next;
    }
    runs.retain(|run| !run.is_empty());
    runs
}
