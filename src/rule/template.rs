//! stub
use super::{problem::Problems, spec::Template};
use std::collections::BTreeMap;
#[derive(Debug)]
pub struct Text;
pub struct Scope;
impl Scope {
    pub fn fields() -> Self {
        Self
    }
    pub fn add(&mut self, _: &str) {}
}
impl Text {
    pub fn compile(_: &Template, _: &Scope, _: &mut Problems) -> Option<Self> {
        None
    }
    pub fn render(&self, _: &BTreeMap<String, serde_json::Value>) -> Result<String, String> {
        Err(String::new())
    }
}
