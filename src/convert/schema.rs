use serde_json::Value;
pub(super) fn of_configuration() -> Value {
    Value::Null
}
pub(super) fn of_check() -> Value {
    Value::Null
}
