//! stub
/// stub
pub fn rule_schema() -> serde_json::Value {
    serde_json::Value::Null
}
