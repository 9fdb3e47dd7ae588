//! Problem answers (RFC 9457): every refusal of the node has this one shape.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    code::{Code, Word},
    custody::CustodyError,
    store::{CommitError, StoreError},
};

/// A refusal with its code and what the caller should know. It never holds a secret.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: String,
    enquiry_id: Option<String>,
    differs: Vec<String>,
}

impl Problem {
    /// A refusal with one sentence of detail, safe to show to the caller.
    pub fn new(code: impl Into<Code>, detail: impl Into<String>) -> Problem {
        Problem { code: code.into(), detail: detail.into(), enquiry_id: None, differs: Vec::new() }
    }

    /// What is not the caller's, or not there: the two look the same.
    pub fn not_found() -> Problem {
        Problem::new(Word::NotFound, "there is nothing of that name for this caller")
    }

    /// A bug of ours. The cause goes to the log, not to the caller.
    pub fn internal(cause: impl std::fmt::Display) -> Problem {
        tracing::error!(%cause, "internal error");
        Problem::new(Word::Internal, "see the node's log")
    }

    /// With the enquiry id of the order concerned.
    pub fn enquiry(self, enquiry_id: impl Into<String>) -> Problem {
        Problem { enquiry_id: Some(enquiry_id.into()), ..self }
    }

    /// With JSON pointers (RFC 6901) to what differs.
    pub fn differs(self, pointers: Vec<String>) -> Problem {
        Problem { differs: pointers, ..self }
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }
}

impl From<StoreError> for Problem {
    fn from(cause: StoreError) -> Problem {
        tracing::error!(%cause, "store");
        Problem::new(Word::StoreUnavailable, "the store cannot be used for now")
    }
}

impl From<CommitError> for Problem {
    fn from(cause: CommitError) -> Problem {
        match cause {
            CommitError::Conflict { what } => Problem::new(Word::IllegalState, what.to_string()),
            CommitError::Unavailable(cause) => cause.into(),
            CommitError::UnknownOutcome => {
                Problem::new(Word::OutcomeUnknown, "whether the request was recorded is not known")
            }
        }
    }
}

impl From<CustodyError> for Problem {
    fn from(cause: CustodyError) -> Problem {
        tracing::error!(%cause, "custody");
        Problem::new(Word::CustodyUnavailable, "custody cannot be used for now")
    }
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    instance: String,
    code: &'static str,
    retry: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    enquiry_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    differs: &'a [String],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let entry = self.code.entry();
        let instance = Uuid::now_v7();
        tracing::info!(code = entry.id, %instance, enquiry_id = self.enquiry_id, detail = self.detail, "refused");
        let body = Body {
            r#type: format!("/problems/{}", entry.id),
            title: entry.en,
            status: entry.http_status,
            detail: &self.detail,
            instance: instance.urn().to_string(),
            code: entry.id,
            retry: entry.retry,
            enquiry_id: self.enquiry_id.as_deref(),
            differs: &self.differs,
        };
        let status =
            StatusCode::from_u16(entry.http_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(body)).into_response();
        let media_type = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        if matches!(self.code, Code::Word(Word::TooLarge)) {
            // What is left of the body is not read, so the connection cannot be used again.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
