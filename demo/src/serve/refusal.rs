//! Every way the service says no, in the words and statuses of a FastAPI application.
//!
//! One map from causes to statuses; handlers return a [`Refusal`] and never write a status themselves.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Why a request is not granted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("Not authenticated")]
    NotAuthenticated,
    #[error("Could not validate credentials")]
    BadToken,
    #[error("Incorrect email or password")]
    WrongPassword,
    /// A field is missing or not of its type.
    #[error("{}: {}", .0.location, .0.message)]
    Invalid(Invalid),
    #[error("There was an error parsing the body")]
    Unparsable,
    #[error("{0} not found")]
    NotFound(&'static str),
    #[error("Audio file too small: at least {0} bytes")]
    TooSmall(u64),
    #[error("Audio file too large: at most {0} bytes")]
    TooLarge(u64),
    #[error("Request body too large")]
    BodyTooLarge,
    #[error("Unsupported audio type: {0}")]
    UnsupportedType(String),
    #[error("Internal Server Error")]
    Database(#[from] sqlx::Error),
}

/// One entry of a 422 answer.
#[derive(Debug)]
pub(crate) struct Invalid {
    /// Where: `body/audio`, `path/assignment_id`.
    pub(crate) location: String,
    pub(crate) message: &'static str,
    /// Pydantic's name of the error.
    pub(crate) kind: &'static str,
}

impl Refusal {
    pub(crate) fn missing(location: &str) -> Self {
        let location = location.to_owned();
        Self::Invalid(Invalid { location, message: "Field required", kind: "missing" })
    }

    pub(crate) fn not_a_uuid(location: &str) -> Self {
        let message = "Input should be a valid UUID";
        Self::Invalid(Invalid { location: location.to_owned(), message, kind: "uuid_parsing" })
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NotAuthenticated | Self::BadToken | Self::WrongPassword => StatusCode::UNAUTHORIZED,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unparsable | Self::TooSmall(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::TooLarge(_) | Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn detail(&self) -> Value {
        match self {
            Self::Invalid(invalid) => {
                let location: Vec<&str> = invalid.location.split('/').collect();
                json!([{"type": invalid.kind, "loc": location, "msg": invalid.message}])
            }
            other => Value::String(other.to_string()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Self::Database(error) = &self {
            tracing::error!(%error, "the database refused");
        }
        let status = self.status();
        let mut response = (status, Json(json!({"detail": self.detail()}))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
