//! The messages of the binding: the specification's fields, by its names, in JSON.
//!
//! Every request extends BasicRequest ([`Call`]) and every response BasicResponse ([`Reply`]). Unknown members are refused, but what
//! stands under `Extensions` is kept as it came: vendors extend there. Both directions live here, so a TSM can be built on them too.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _,
};
use serde_json::{Map, Value};

use super::strict;
use crate::{identifier::CallId, limits::EXTENSIONS_MAX};

mod functions;

pub use functions::{
    BeginConversation, BegunConversation, CheckGlobalEligibility, CheckedEligibility,
    EndConversation, GetApplicationOrElfStatus, GotApplicationOrElfStatus, Nothing, ScriptFormat,
    SeCommand, SeCommands, SendScript, SentScript, function,
};

/// A request: BasicRequest around a function's own fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Call<T> {
    /// FunctionCallIdentifier.
    pub identifier: CallId,
    /// ValidityPeriod, seconds.
    pub validity_s: Option<u64>,
    /// Extensions, as they came.
    pub extensions: Vec<Value>,
    /// The function's own fields.
    pub body: T,
}

/// A response: BasicResponse around a function's own fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply<T> {
    /// ProcessingStart, as the other side writes time.
    pub processing_start: Option<String>,
    /// ProcessingEnd.
    pub processing_end: Option<String>,
    /// AcceptableValidityPeriod, seconds.
    pub acceptable_validity_s: Option<u64>,
    /// FunctionExecutionStatus.
    pub status: ExecutionStatus,
    /// Extensions, as they came.
    pub extensions: Vec<Value>,
    /// The function's own fields; present when it was executed.
    pub body: Option<T>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct BasicRequest {
    function_call_identifier: CallId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    validity_period: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    extensions: Vec<Value>,
}

const REQUEST_MEMBERS: [&str; 3] = ["FunctionCallIdentifier", "ValidityPeriod", "Extensions"];

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct BasicResponse {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    processing_start: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    processing_end: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    acceptable_validity_period: Option<u64>,
    function_execution_status: ExecutionStatus,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    extensions: Vec<Value>,
}

const RESPONSE_MEMBERS: [&str; 5] = [
    "ProcessingStart",
    "ProcessingEnd",
    "AcceptableValidityPeriod",
    "FunctionExecutionStatus",
    "Extensions",
];

/// Both layers of a message in one object. Reading goes through [`split`] instead: serde's flatten cannot refuse unknown members.
#[derive(Serialize)]
struct Layers<'a, Basic, T> {
    #[serde(flatten)]
    basic: Basic,
    #[serde(flatten)]
    body: Option<&'a T>,
}

impl<T> Call<T> {
    /// A call without validity period or extensions.
    pub fn new(identifier: CallId, body: T) -> Call<T> {
        Call { identifier, validity_s: None, extensions: Vec::new(), body }
    }
}

impl<T: Serialize> Call<T> {
    /// The message as JSON.
    ///
    /// # Errors
    /// Only if `T` is not an object.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let basic = BasicRequest {
            function_call_identifier: self.identifier.clone(),
            validity_period: self.validity_s,
            extensions: self.extensions.clone(),
        };
        serde_json::to_vec(&Layers { basic, body: Some(&self.body) })
    }
}

impl<T: DeserializeOwned> Call<T> {
    /// Reads a message strictly.
    ///
    /// # Errors
    /// Malformed JSON, a member named twice, unknown or missing; too many extensions.
    pub fn decode(json: &[u8]) -> Result<Call<T>, serde_json::Error> {
        let (basic, rest): (BasicRequest, _) = split(json, &REQUEST_MEMBERS)?;
        Ok(Call {
            identifier: basic.function_call_identifier,
            validity_s: basic.validity_period,
            extensions: bounded(basic.extensions)?,
            body: serde_json::from_value(rest)?,
        })
    }
}

impl<T> Reply<T> {
    /// An answer with this status and body, without times.
    pub fn new(status: ExecutionStatus, body: Option<T>) -> Reply<T> {
        Reply {
            processing_start: None,
            processing_end: None,
            acceptable_validity_s: None,
            status,
            extensions: Vec::new(),
            body,
        }
    }
}

impl<T: Serialize> Reply<T> {
    /// The message as JSON.
    ///
    /// # Errors
    /// Only if `T` is not an object.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let basic = BasicResponse {
            processing_start: self.processing_start.clone(),
            processing_end: self.processing_end.clone(),
            acceptable_validity_period: self.acceptable_validity_s,
            function_execution_status: self.status.clone(),
            extensions: self.extensions.clone(),
        };
        serde_json::to_vec(&Layers { basic, body: self.body.as_ref() })
    }
}

impl<T: DeserializeOwned> Reply<T> {
    /// Reads a message strictly. A function that was not executed has no body, whatever else stands there.
    ///
    /// # Errors
    /// Malformed JSON, a member named twice, unknown or missing; too many extensions.
    pub fn decode(json: &[u8]) -> Result<Reply<T>, serde_json::Error> {
        let (basic, rest): (BasicResponse, _) = split(json, &RESPONSE_MEMBERS)?;
        let status = basic.function_execution_status;
        let body = match status.status {
            Status::ExecutedSuccess | Status::ExecutedWithWarning => {
                Some(serde_json::from_value(rest)?)
            }
            Status::Failed | Status::Expired => None,
        };
        Ok(Reply {
            processing_start: basic.processing_start,
            processing_end: basic.processing_end,
            acceptable_validity_s: basic.acceptable_validity_period,
            status,
            extensions: bounded(basic.extensions)?,
            body,
        })
    }
}

/// Parts one object into the named members and the rest.
fn split<Basic: DeserializeOwned>(
    json: &[u8],
    members: &[&str],
) -> Result<(Basic, Value), serde_json::Error> {
    let mut rest: Map<String, Value> = strict::from_slice(json)?;
    let take = |name: &&str| rest.remove_entry(*name);
    let basic: Map<String, Value> = members.iter().filter_map(take).collect();
    Ok((serde_json::from_value(Value::Object(basic))?, Value::Object(rest)))
}

fn bounded(extensions: Vec<Value>) -> Result<Vec<Value>, serde_json::Error> {
    if extensions.len() > EXTENSIONS_MAX {
        return Err(serde_json::Error::custom("too many Extensions"));
    }
    Ok(extensions)
}

/// FunctionExecutionStatus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ExecutionStatus {
    /// What became of the function.
    pub status: Status,
    /// Why; absent on plain success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code_data: Option<StatusCodeData>,
}

impl ExecutionStatus {
    /// `Executed-Success`.
    pub fn success() -> ExecutionStatus {
        ExecutionStatus { status: Status::ExecutedSuccess, status_code_data: None }
    }

    /// Any other status with its subject, reason and a message.
    pub fn because(status: Status, subject: &str, reason: &str, message: &str) -> ExecutionStatus {
        let data = StatusCodeData {
            subject: subject.to_owned(),
            reason: reason.to_owned(),
            subject_identifier: None,
            message: Some(message.to_owned()),
        };
        ExecutionStatus { status, status_code_data: Some(data) }
    }
}

/// What became of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Done.
    #[serde(rename = "Executed-Success")]
    ExecutedSuccess,
    /// Done, with something to say.
    #[serde(rename = "Executed-WithWarning")]
    ExecutedWithWarning,
    /// Not done.
    Failed,
    /// Not done within the ValidityPeriod.
    Expired,
}

/// StatusCodeData.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct StatusCodeData {
    /// OID of what the status is about.
    pub subject: String,
    /// OID of the reason.
    pub reason: String,
    /// Which one of the subjects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_identifier: Option<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Bytes as hexadecimal digits: upper case when written, either case when read, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hex(pub Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode_upper(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hex, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text).map(Hex).map_err(|_| D::Error::custom("not hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call<SendScript> {
        Call {
            identifier: CallId::new("c-1").unwrap(),
            validity_s: Some(60),
            extensions: vec![serde_json::json!({"ApplyInfo": {"x": 1}})],
            body: SendScript { conversation_id: 7, command_apdu: vec![Hex(vec![0x80, 0x50])] },
        }
    }

    #[test]
    fn a_request_has_the_standard_s_names_and_reads_back() {
        let json = call().encode().unwrap();
        let value: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value["FunctionCallIdentifier"], "c-1");
        assert_eq!(value["ValidityPeriod"], 60);
        assert_eq!(value["ConversationID"], 7);
        assert_eq!(value["CommandAPDU"][0], "8050");
        assert_eq!(Call::<SendScript>::decode(&json).unwrap(), call());
    }

    #[test]
    fn unknown_members_are_refused_and_extensions_are_kept() {
        let text =
            r#"{"FunctionCallIdentifier":"c","ConversationID":7,"CommandAPDU":[],"Priority":1}"#;
        assert!(Call::<SendScript>::decode(text.as_bytes()).is_err());
        let text =
            r#"{"FunctionCallIdentifier":"c","ConversationID":7,"Extensions":[{"Priority":1}]}"#;
        let call = Call::<EndConversation>::decode(text.as_bytes()).unwrap();
        assert_eq!(call.extensions, [serde_json::json!({"Priority": 1})]);
        let many = format!(
            r#"{{"FunctionCallIdentifier":"c","ConversationID":7,"Extensions":[{}1]}}"#,
            "1,".repeat(EXTENSIONS_MAX)
        );
        assert!(Call::<EndConversation>::decode(many.as_bytes()).is_err());
    }

    #[test]
    fn a_response_has_a_body_only_when_executed() {
        let done = Reply::new(
            ExecutionStatus::success(),
            Some(SentScript { response_apdu: vec![Hex(vec![0x90, 0])], failed_apdu_index: None }),
        );
        let json = done.encode().unwrap();
        assert_eq!(Reply::<SentScript>::decode(&json).unwrap(), done);
        let failed = ExecutionStatus::because(Status::Failed, "8.1", "5.1", "not reachable");
        let json = Reply::<SentScript>::new(failed.clone(), None).encode().unwrap();
        let reply = Reply::<SentScript>::decode(&json).unwrap();
        assert_eq!((reply.status, reply.body), (failed, None));
        let without = br#"{"FunctionExecutionStatus":{"Status":"Executed-Success"}}"#;
        assert!(Reply::<SentScript>::decode(without).is_err());
        assert!(Reply::<Nothing>::decode(without).is_ok());
    }

    #[test]
    fn hexadecimal_is_strict() {
        for text in ["\"0x90\"", "\"900\"", "\"90 00\"", "\"9G\"", "9000"] {
            assert!(serde_json::from_str::<Hex>(text).is_err(), "{text}");
        }
        assert_eq!(serde_json::from_str::<Hex>("\"aB\"").unwrap(), Hex(vec![0xAB]));
        assert_eq!(serde_json::to_string(&Hex(vec![0xAB])).unwrap(), "\"AB\"");
    }

    #[test]
    fn every_truncation_of_a_message_is_refused() {
        let json = call().encode().unwrap();
        for length in 0..json.len() {
            assert!(Call::<SendScript>::decode(&json[..length]).is_err());
        }
    }
}
