//! `correlation:` of a Sigma document as it is decoded: references resolved, fields named, bounds read.
//!
//! What each type means stands in `rule::verb::correlate`.

use serde::Serialize;

use super::{Expr, Grouping};
use crate::record::{FieldName, Millis, Number, RuleId};

/// A correlation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CorrelateSpec {
    /// What is asked of a window.
    pub asks: Asks,
    /// What is correlated, in the order of `rules`.
    pub of: Vec<Correlated>,
    /// `group-by`, as alerts name it: an alias by its own name.
    pub group: Grouping,
    /// `timespan`. Both of its edges are in the window: [t − timespan, t].
    pub timespan: Millis,
}

/// One of the rules that a correlation refers to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Correlated {
    /// The reference, as spelt; no part of the meaning.
    #[serde(skip)]
    pub name: String,
    /// The title of its document; no part of the meaning.
    #[serde(skip)]
    pub title: String,
    /// The rule that its document makes, or would if it were not only read here; no part of the meaning.
    #[serde(skip)]
    pub rule: RuleId,
    /// What it stands for.
    pub what: What,
    /// The fields that `group-by` names, in its order, in what this rule finds.
    pub by: Vec<FieldName>,
    /// The fields that `field` names, the same way.
    pub fields: Vec<FieldName>,
}

/// What is heard of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum What {
    /// Records that a detection accepts.
    Records(Expr),
    /// Firings of another correlation.
    Firings(RuleId),
}

/// The type of a correlation and its condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Asks {
    /// `event_count`.
    Events(Vec<Comparison>),
    /// `value_count`: of the values of `field`, or of tuples of several.
    Values(Vec<Comparison>),
    /// `temporal`.
    Rules(Occurrence),
    /// `temporal_ordered`.
    Ordered(Occurrence),
    /// `value_sum`, `value_avg`, `value_percentile`, `value_median`.
    Number(Aggregate, Vec<Comparison>),
}

/// Which of its rules a temporal correlation wants to see.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Occurrence {
    /// All of them: there is no condition.
    All,
    /// So many of them.
    Many(Vec<Comparison>),
    /// Those that an extended condition names.
    Named(Named),
}

/// An extended condition: names of rules joined by `and`, `or`, `not`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Named {
    /// The rule of this number has occurred.
    Rule(usize),
    /// The part does not hold.
    Not(Box<Named>),
    /// Every part holds.
    All(Vec<Named>),
    /// Some part holds.
    Any(Vec<Named>),
}

/// A number made of the samples of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Aggregate {
    /// Total.
    Sum,
    /// Arithmetic mean.
    Average,
    /// Nearest rank, 1 to 100.
    Percentile(u8),
    /// The middle sample; of an even number the mean of the two in the middle.
    Median,
}

/// One line of a condition; where there are several, all must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// How.
    pub is: Comparator,
    /// With what.
    pub bound: Number,
}

/// `gt`, `gte`, `lt`, `lte`, `eq`, `neq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Comparator {
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Gte,
    /// Less than.
    Lt,
    /// Less than or equal.
    Lte,
    /// Equal.
    Eq,
    /// Not equal.
    Neq,
}

impl Comparator {
    /// Every one, in the order in which the specification names them.
    pub const ALL: [Self; 6] = [Self::Gt, Self::Gte, Self::Lt, Self::Lte, Self::Eq, Self::Neq];

    /// Its word in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Eq => "eq",
            Self::Neq => "neq",
        }
    }
}

impl CorrelateSpec {
    /// The correlations that it hears of, in the order of `rules`.
    pub fn hears(&self) -> impl Iterator<Item = &RuleId> {
        self.of.iter().filter_map(|one| match &one.what {
            What::Firings(rule) => Some(rule),
            What::Records(_) => None,
        })
    }

    /// What a record must be to be of any of its detections.
    pub fn any_record(&self) -> Expr {
        let mut exprs: Vec<Expr> = self
            .of
            .iter()
            .filter_map(|one| match &one.what {
                What::Records(expr) => Some(expr.clone()),
                What::Firings(_) => None,
            })
            .collect();
        if exprs.len() == 1 { exprs.remove(0) } else { Expr::Any(exprs) }
    }

    /// The names under which its detections find group and value, each with the numbers of those
    /// that do, in the order of `rules`.
    pub fn namings(&self) -> Vec<(&Correlated, Vec<usize>)> {
        let mut namings: Vec<(&Correlated, Vec<usize>)> = Vec::new();
        for (number, one) in self.of.iter().enumerate() {
            if let What::Firings(_) = one.what {
                continue;
            }
            let known =
                namings.iter_mut().find(|(other, _)| other.by == one.by && other.fields == one.fields);
            match known {
                Some((_, numbers)) => numbers.push(number),
                None => namings.push((one, vec![number])),
            }
        }
        namings
    }

    /// Whether a hit has to say of which of its rules it is.
    pub fn tells_rules_apart(&self) -> bool {
        match self.asks {
            Asks::Rules(_) | Asks::Ordered(_) => true,
            Asks::Events(_) | Asks::Values(_) | Asks::Number(..) => self.namings().len() > 1,
        }
    }
}
