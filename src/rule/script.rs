//! stub
use super::{problem::Problems, spec::ScriptText};
use crate::record::{Datum, FieldName};
use std::collections::BTreeMap;
#[derive(Debug)]
pub struct Script;
pub enum Answer {
    No,
    Yes,
    Alert(BTreeMap<String, Datum>),
}
impl Script {
    pub fn compile(_: &ScriptText, _: &mut Problems) -> Option<Self> {
        None
    }
    pub fn fields(&self) -> &[FieldName] {
        &[]
    }
    pub fn alert_names(&self) -> &[String] {
        &[]
    }
    pub fn run(&self, _: &[&[Datum]]) -> Result<Answer, String> {
        Ok(Answer::No)
    }
}
