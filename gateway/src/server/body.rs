//! Strict readers of what a caller sends: whole, within limits, of exactly the documented form.

use std::error::Error;

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::{header, request::Parts};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::{BodyTooLarge, problem::Problem};
use crate::code::Word;

/// Longest name of an unknown member that is repeated to the caller.
const NAME_MAX: usize = 120;

/// A JSON body. `T` denies unknown members; doubled members are refused by its derived reader.
pub struct Json<T>(
    /// What it says.
    pub T,
);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Json<T>, Problem> {
        JsonText::from_request(request, state).await?.read().map(Json)
    }
}

/// The very bytes of a JSON body, for whoever keeps their digest.
pub struct JsonText(
    /// The bytes, not yet read.
    pub Bytes,
);

impl JsonText {
    /// What it says.
    ///
    /// # Errors
    /// [`Word::BadRequest`] when it is not of the form of `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let mut reader = serde_json::Deserializer::from_slice(&self.0);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|cause| unfit(&cause))?;
        reader
            .end()
            .map_err(|_| Problem::new(Word::BadRequest, "one JSON object, and nothing after it"))?;
        Ok(value)
    }
}

impl<S: Send + Sync> FromRequest<S> for JsonText {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<JsonText, Problem> {
        check_media_type(&request)?;
        Ok(JsonText(read(request).await?))
    }
}

/// A query string. `T` denies unknown members.
pub struct Query<T>(
    /// What it says.
    pub T,
);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Query<T>, Problem> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        let query = query.map_err(|_| {
            Problem::new(Word::BadRequest, "the query is not of the documented form")
        })?;
        Ok(Query(query.0))
    }
}

/// The whole body.
/// # Errors
/// [`Word::TooLarge`] past the limit, [`Word::BadRequest`] when the peer stopped before its end.
pub async fn read(request: Request) -> Result<Bytes, Problem> {
    let collected = request.into_body().collect().await;
    let collected = collected.map_err(|cause| match too_large(&cause) {
        true => Problem::new(Word::TooLarge, "the request body is larger than the limit"),
        false => Problem::new(Word::BadRequest, "the request body ended before its end"),
    })?;
    Ok(collected.to_bytes())
}

fn check_media_type(request: &Request) -> Result<(), Problem> {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).map(str::trim);
    match essence {
        Some(essence) if essence.eq_ignore_ascii_case("application/json") => Ok(()),
        _ => Err(Problem::new(Word::BadRequest, "send `Content-Type: application/json`")),
    }
}

fn too_large(cause: &axum::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(cause);
    while let Some(error) = cause {
        if error.is::<BodyTooLarge>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Says which member is wrong, and never repeats a value: it may be a token or an access code.
fn unfit(cause: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let text = cause.inner().to_string();
    let names_only = ["unknown field", "missing field", "duplicate field"];
    let why = if names_only.iter().any(|start| text.starts_with(start)) {
        text.chars().take(NAME_MAX).collect()
    } else if cause.inner().is_data() {
        "not of the documented form".to_owned()
    } else {
        format!("not JSON at line {} column {}", cause.inner().line(), cause.inner().column())
    };
    Problem::new(Word::BadRequest, format!("{}: {why}", pointer(cause.path())))
}

/// A JSON pointer (RFC 6901) to where reading stopped; `/` for the whole body.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let pointer: String = path
        .iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.chars().take(NAME_MAX).collect::<String>()),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => String::new(),
        })
        .collect();
    if pointer.is_empty() { "/".to_owned() } else { pointer }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Form {
        #[expect(dead_code, reason = "only the reading is tested")]
        code: u8,
    }

    async fn refused(body: &'static str, media_type: &str) -> String {
        let request = Request::post("/").header(header::CONTENT_TYPE, media_type).body(body.into());
        let refused = Json::<Form>::from_request(request.unwrap(), &()).await.err().unwrap();
        assert_eq!(refused.code().as_str(), "bad_request");
        format!("{refused:?}")
    }

    #[tokio::test]
    async fn what_is_not_of_the_form_is_refused_without_repeating_values() {
        assert!(refused(r#"{"code":1,"code":1}"#, "application/json").await.contains("duplicate"));
        assert!(refused(r#"{"code":1,"other":1}"#, "application/json").await.contains("other"));
        assert!(refused("{}", "application/json; charset=utf-8").await.contains("missing"));
        assert!(refused(r#"{"code":1}"#, "text/plain").await.contains("Content-Type"));
        assert!(refused(r#"{"code":1} {}"#, "application/json").await.contains("nothing after"));
        let refused = refused(r#"{"code":"CANARY"}"#, "application/json").await;
        assert!(refused.contains("/code"));
        assert!(!refused.contains("CANARY"), "{refused}");
    }
}
