//! The file of a model as it is written, and what cannot be meant.
//!
//! What is wrong within one value is found as it is read, what does not fit together by [`File::check`]; both are
//! answered with the line.

use std::collections::BTreeMap;
use std::ops::Range;

use http::{HeaderName, HeaderValue, Method, Uri, header};
use kingtide_common::audio::AudioFormat;
use kingtide_common::config::Spanned;
use kingtide_common::units::{ByteSize, Span};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Changes;
use super::law::{Between, Shares};
use super::template::{Kind, Template};
use crate::drive::Uplink;
use crate::sessions::is_drives;

/// Where in the text, and why.
type Mistake = (Range<usize>, String);

/// By name.
pub(super) type Headers = BTreeMap<String, Spanned<Template>>;

/// See the module.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Think time before a user does it all again; who is not given one comes once.
    pub(super) again: Option<Spanned<Between<Span>>>,
    /// What an answer usually takes.
    #[serde(default = "answer")]
    pub(super) answer: Spanned<Span>,
    /// One for each user; unpaced where there are none.
    pub(super) uplinks: Option<Shares<Uplink>>,
    /// Of every step.
    #[serde(default)]
    pub(super) headers: Headers,
    pub(super) step: Spanned<Vec<Step>>,
}

/// A request that a user makes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) name: Spanned<String>,
    pub(super) request: Spanned<RequestLine>,
    #[serde(default)]
    pub(super) headers: Headers,
    pub(super) json: Option<Spanned<Template>>,
    /// Already encoded, but for the values.
    pub(super) form: Option<Spanned<Template>>,
    #[serde(default)]
    pub(super) part: Vec<Part>,
    /// What the application answers.
    #[serde(default = "status")]
    pub(super) status: Spanned<u16>,
    /// Before it.
    #[serde(default = "at_once")]
    pub(super) think: Between<Span>,
    /// How often.
    #[serde(default = "one_time")]
    pub(super) repeat: Between<u32>,
    /// Not when the user does it all again.
    #[serde(default)]
    pub(super) once: bool,
    pub(super) answer: Option<Spanned<Span>>,
}

/// A part of a multipart form: a `value`, or a `file` with its `sizes`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    pub(super) name: Spanned<String>,
    pub(super) value: Option<Spanned<Template>>,
    /// Its content type.
    pub(super) file: Option<String>,
    pub(super) sizes: Option<Spanned<Shares<ByteSize>>>,
    /// Of the file's name.
    pub(super) extension: Option<String>,
}

/// `POST /api/uploads/{create:/id}`
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct RequestLine {
    pub(super) method: String,
    pub(super) target: Template,
}

const STATUS_OK: u16 = 200;

fn answer() -> Spanned<Span> {
    Spanned::new(0..0, Span(std::time::Duration::from_millis(300)))
}

fn status() -> Spanned<u16> {
    Spanned::new(0..0, STATUS_OK)
}

fn at_once() -> Between<Span> {
    Between::always(Span::default())
}

fn one_time() -> Between<u32> {
    Between::always(1)
}

impl TryFrom<String> for RequestLine {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no request; write method and path as `POST /api/uploads`");
        let (method, target) = text.split_once(' ').ok_or_else(wrong)?;
        let target = Template::try_from(target.to_owned())?;
        let sample = target.text(Kind::Target);
        // What begins with a value may become any URL.
        let is_target = sample.starts_with('{') || (sample.starts_with('/') && sample.parse::<Uri>().is_ok());
        let is_method =
            method == method.to_ascii_uppercase() && Method::from_bytes(method.as_bytes()).is_ok();
        if is_method && is_target { Ok(Self { method: method.to_owned(), target }) } else { Err(wrong()) }
    }
}

impl File {
    /// Headers of every step, in each that has none of that name.
    pub(super) fn with_headers_in_each_step(self) -> Self {
        let Self { headers, mut step, .. } = self;
        for step in step.get_mut() {
            for (name, value) in &headers {
                if !step.headers.keys().any(|own| own.eq_ignore_ascii_case(name)) {
                    step.headers.insert(name.clone(), value.clone());
                }
            }
        }
        Self { headers, step, ..self }
    }

    pub(super) fn change(&mut self, changes: &Changes) {
        if let Some(again) = self.again.as_mut() {
            again.get_mut().change(changes.think);
        }
        for step in self.step.get_mut() {
            step.think.change(changes.think);
            let sizes = step.part.iter_mut().filter_map(|part| part.sizes.as_mut());
            sizes
                .for_each(|sizes| changes.sizes.iter().for_each(|others| sizes.get_mut().clone_from(others)));
        }
    }

    pub(super) fn check(&self) -> Result<(), Mistake> {
        let steps = self.step.get_ref();
        if steps.is_empty() {
            return Err((self.step.span(), "a model needs a step: add [[step]]".to_owned()));
        }
        is_some_time(&self.answer)?;
        for (index, step) in steps.iter().enumerate() {
            step.check()?;
            check_name(&step.name, &steps[..index])?;
            step.texts().try_for_each(|text| check_steps(text, &steps[..index], steps))?;
        }
        let is_left = steps.iter().any(|step| !step.once && step.repeat.least > 0);
        match &self.again {
            Some(again) if !is_left => {
                Err((again.span(), "again: there must be a step that is always done again".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

impl Step {
    /// All its texts with placeholders, but for the path.
    fn texts(&self) -> impl Iterator<Item = (Range<usize>, &Template)> {
        let path = (self.request.span(), &self.request.get_ref().target);
        let values = self.part.iter().filter_map(|part| part.value.as_ref());
        let others = self.headers.values().chain(&self.json).chain(&self.form).chain(values);
        std::iter::once(path).chain(others.map(|text| (text.span(), text.get_ref())))
    }

    fn check(&self) -> Result<(), Mistake> {
        let bodies = [self.json.is_some(), self.form.is_some(), !self.part.is_empty()];
        if bodies.into_iter().filter(|has| *has).count() > 1 {
            return Err((self.name.span(), "a request has one body: json, form or part".to_owned()));
        }
        let status = *self.status.get_ref();
        if !(100..600).contains(&status) {
            return Err((self.status.span(), format!("{status} is no status; write 100 to 599")));
        }
        self.answer.as_ref().map_or(Ok(()), is_some_time)?;
        self.headers.iter().try_for_each(|(name, value)| self.check_header(name, value))?;
        self.json.as_ref().map_or(Ok(()), check_json)?;
        self.part.iter().try_for_each(Part::check)
    }

    fn check_header(&self, name: &str, value: &Spanned<Template>) -> Result<(), Mistake> {
        let is_parts = !self.part.is_empty() && name.eq_ignore_ascii_case(header::CONTENT_TYPE.as_str());
        let is_value = HeaderValue::from_str(&value.get_ref().text(Kind::Plain)).is_ok();
        let why = if is_drives(name) || is_parts {
            "kingtide writes it; leave it out"
        } else if HeaderName::from_bytes(name.as_bytes()).is_err() {
            "is no name of a header"
        } else if !is_value {
            "its value cannot stand in a header"
        } else {
            return Ok(());
        };
        Err((value.span(), format!("header `{name}`: {why}")))
    }
}

impl Part {
    fn check(&self) -> Result<(), Mistake> {
        match (&self.value, &self.file, &self.sizes) {
            (Some(_), None, None) => Ok(()),
            (None, Some(_), Some(sizes)) => self.check_sizes(sizes),
            _ => Err((self.name.span(), "a part has a value, or a file (its type) and sizes".to_owned())),
        }
    }

    fn check_sizes(&self, sizes: &Spanned<Shares<ByteSize>>) -> Result<(), Mistake> {
        let Some(format) = AudioFormat::of(self.file.as_deref(), self.extension.as_deref()) else {
            return Ok(());
        };
        match sizes.get_ref().values().find(|size| size.0 < format.bytes_min()) {
            Some(size) => {
                let (name, least) = (format.name(), format.bytes_min());
                Err((
                    sizes.span(),
                    format!("no {name} recording has {} bytes; write {least} or more", size.0),
                ))
            }
            None => Ok(()),
        }
    }
}

fn check_name(name: &Spanned<String>, before: &[Step]) -> Result<(), Mistake> {
    let text = name.get_ref();
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let is_taken = before.iter().any(|step| step.name.get_ref() == text);
    let why = if !is_word {
        "is no name; write a letter, then letters, digits, - and _"
    } else if is_taken {
        "is the name of a step before; give each its own"
    } else {
        return Ok(());
    };
    Err((name.span(), format!("`{text}` {why}")))
}

/// The answers that a text needs are there before it is sent, whatever is drawn.
fn check_steps((at, text): (Range<usize>, &Template), before: &[Step], all: &[Step]) -> Result<(), Mistake> {
    let named = |steps: &'_ [Step], name: &str| steps.iter().position(|step| step.name.get_ref() == name);
    for name in text.steps() {
        let why = match named(before, name) {
            Some(index) if before[index].repeat.least > 0 => continue,
            Some(_) => "may be left out: its repeat begins with 0".to_owned(),
            None if named(all, name).is_some() => "has no answer yet: use a step before this one".to_owned(),
            None => "is no step; write the name of one before this".to_owned(),
        };
        return Err((at, format!("`{name}` {why}")));
    }
    Ok(())
}

fn check_json(json: &Spanned<Template>) -> Result<(), Mistake> {
    let text = json.get_ref().text(Kind::Json);
    let parsed: Result<IgnoredAny, _> = serde_json::from_str(&text);
    parsed
        .map(drop)
        .map_err(|error| (json.span(), format!("json: {error}, with placeholders as values: {text}")))
}

/// A model whose requests take no time would send without end.
fn is_some_time(answer: &Spanned<Span>) -> Result<(), Mistake> {
    if answer.get_ref().0.as_millis() > 0 {
        return Ok(());
    }
    Err((answer.span(), "answer: no answer comes in no time; write 300ms".to_owned()))
}
