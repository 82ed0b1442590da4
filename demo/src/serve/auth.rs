//! Who is asking: login with e-mail and password, then a JWT (HS256) that expires.
//!
//! The signing key is drawn at start and lives in memory only, so a restart ends every session, as a redeploy does.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, header};
use axum::response::{IntoResponse, Response};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::App;
use super::database::{Lease, StudentRow};
use super::refusal::{Invalid, Refusal};
use super::school::password_digest;
use super::timing::StageTimes;

/// Largest login body, bytes.
const LOGIN_BYTES_MAX: usize = 64 * 1024;

/// Signs and checks tokens.
pub(crate) struct TokenKeys {
    sign: EncodingKey,
    check: DecodingKey,
    validation: Validation,
    ttl_s: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    iat: u64,
    exp: u64,
    /// Two logins within one second still get two tokens.
    jti: String,
}

impl TokenKeys {
    pub(crate) fn new(ttl_s: u64) -> Self {
        let secret: [u8; 32] = rand::random();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        Self {
            sign: EncodingKey::from_secret(&secret),
            check: DecodingKey::from_secret(&secret),
            validation,
            ttl_s,
        }
    }

    fn issue(&self, student_id: &str) -> String {
        let iat = unix_seconds();
        let exp = iat.saturating_add(self.ttl_s);
        let claims = Claims { sub: student_id.to_owned(), iat, exp, jti: Uuid::new_v4().to_string() };
        encode(&Header::new(Algorithm::HS256), &claims, &self.sign)
            .expect("an HMAC key signs any serialisable claims")
    }

    /// The student id of a valid `Authorization: Bearer` header.
    fn subject(&self, headers: &HeaderMap) -> Result<String, Refusal> {
        let value = headers.get(header::AUTHORIZATION).ok_or(Refusal::NotAuthenticated)?;
        let (scheme, token) =
            value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Refusal::NotAuthenticated)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::NotAuthenticated);
        }
        let token = decode::<Claims>(token, &self.check, &self.validation).map_err(|_| Refusal::BadToken)?;
        Ok(token.claims.sub)
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The student behind a token, and the pool connection the check was made on.
///
/// The connection's time is not settled yet: the caller may ask more of it within the same stage.
pub(crate) async fn identify(app: &App, headers: &HeaderMap) -> Result<(Lease, StudentRow), Refusal> {
    let student_id = app.tokens.subject(headers)?;
    let mut lease = app.database.lease(Instant::now()).await?;
    let student = lease.student_by_id(&student_id).await?.ok_or(Refusal::BadToken)?;
    Ok((lease, student))
}

/// The token check of a read: [`identify`] with its time settled and noted.
pub(crate) async fn check_token(
    app: &App,
    headers: &HeaderMap,
    times: &mut StageTimes,
) -> Result<(Lease, StudentRow), Refusal> {
    let arrival = Instant::now();
    let found = settle_identity(app, headers).await;
    times.auth = Some(arrival.elapsed());
    found
}

async fn settle_identity(app: &App, headers: &HeaderMap) -> Result<(Lease, StudentRow), Refusal> {
    let (mut lease, student) = identify(app, headers).await?;
    lease.settle(app.auth_time()).await?;
    Ok((lease, student))
}

/// `POST /api/auth/login`
pub(crate) async fn login(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let mut times = StageTimes::default();
    let answer = match credentials(request).await {
        Ok(credentials) => check_password(&app, &credentials, &mut times).await,
        Err(refusal) => Err(refusal),
    };
    times.stamp(answer)
}

struct Credentials {
    email: String,
    password: String,
}

async fn credentials(request: Request<Body>) -> Result<Credentials, Refusal> {
    let bytes = axum::body::to_bytes(request.into_body(), LOGIN_BYTES_MAX)
        .await
        .map_err(|_| Refusal::BodyTooLarge)?;
    let body: Value = serde_json::from_slice(&bytes).map_err(|_| {
        let location = "body".to_owned();
        Refusal::Invalid(Invalid { location, message: "JSON decode error", kind: "json_invalid" })
    })?;
    Ok(Credentials { email: text_field(&body, "email")?, password: text_field(&body, "password")? })
}

fn text_field(body: &Value, name: &str) -> Result<String, Refusal> {
    let location = format!("body/{name}");
    let field = body.get(name).ok_or_else(|| Refusal::missing(&location))?;
    let text = field.as_str().map(str::to_owned);
    let message = "Input should be a valid string";
    text.ok_or(Refusal::Invalid(Invalid { location, message, kind: "string_type" }))
}

async fn check_password(
    app: &App,
    credentials: &Credentials,
    times: &mut StageTimes,
) -> Result<Response, Refusal> {
    let arrival = Instant::now();
    let found = find_student(app, &credentials.email).await;
    times.auth = Some(arrival.elapsed());
    let student = found?.ok_or(Refusal::WrongPassword)?;
    if password_digest(&student.id, &credentials.password) != student.password_digest {
        return Err(Refusal::WrongPassword);
    }
    Ok(Json(json!({
        "access_token": app.tokens.issue(&student.id),
        "token_type": "bearer",
        "expires_in": app.tokens.ttl_s,
        "user": {"id": student.id, "name": student.name, "email": student.email},
    }))
    .into_response())
}

async fn find_student(app: &App, email: &str) -> Result<Option<StudentRow>, Refusal> {
    let mut lease = app.database.lease(Instant::now()).await?;
    let student = lease.student_by_email(email).await?;
    lease.settle(app.auth_time()).await?;
    lease.commit().await?;
    Ok(student)
}
