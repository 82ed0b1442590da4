//! A session as bytes: what is sent before what is only compared, so that a clone under way keeps the first alone.
//!
//! ```text
//! key, start, orphan     of the session
//! lengths                of what is sent of each step
//! what is sent           step by step
//! what is compared       step by step: the answer, when it was where, how bindings were chosen
//! ```

use kingtide_common::exchange::{
    AnsweredBy, Attempt, Body, Ending, Exchange, FilePart, Header, Multipart, PacingPoint, Part, PartContent,
    ServerTiming,
};
use kingtide_common::stages::Instants;

use super::code::{Broken, Coded, Decoder, Encoder, coded_enum, coded_struct};
use super::words::Words;
use crate::sessions::{
    Candidate, Choice, Escape, Fresh, Hole, Place, ResponsePlace, Session, Source, Step, TextPart,
    TimeFormat, Zone,
};

coded_struct!(Header { name, value });
coded_struct!(Multipart { boundary_bytes, parts });
coded_struct!(Part { head, name, content });
coded_struct!(FilePart { content_type, extension, bytes, hash });
coded_struct!(PacingPoint { at_us, bytes });
coded_struct!(ServerTiming { name, duration_us });
coded_struct!(Attempt { peer, connect_us, head_us, reused, status });
coded_struct!(Choice { rule, also, is_ambiguous, is_repair });
coded_struct!(Candidate { step, from });

coded_enum!(PartContent { 0 => Field { value }, 1 => File { file } });
coded_enum!(Body {
    0 => Empty, 1 => Json(text), 2 => Form(text), 3 => Multipart(multipart), 4 => Html(text), 5 => Opaque,
    6 => Unread(why),
});
coded_enum!(AnsweredBy { 0 => Upstream, 1 => EdgeLimit, 2 => EdgeError, 3 => Nobody });
coded_enum!(Ending {
    0 => Complete, 1 => ClientAbort, 2 => ClientTimeout, 3 => UpstreamReset, 4 => UpstreamTimeout, 5 => EdgeFailure,
});
coded_enum!(Place { 0 => Target, 1 => Header(index), 2 => Body, 3 => Part(index) });
coded_enum!(Escape { 0 => Raw, 1 => JsonString, 2 => JsonScalar, 3 => Percent });
coded_enum!(Source {
    0 => Response { step, from }, 1 => Identity { column }, 2 => Fresh(fresh), 3 => Text(text), 4 => Filler,
    5 => Unresolved,
});
coded_enum!(ResponsePlace {
    0 => Json { pointer }, 1 => Header { name }, 2 => Cookie { name }, 3 => Within { of, part },
});
coded_enum!(TextPart {
    0 => Segment { from_end }, 1 => Query { key }, 2 => Link { relation }, 3 => Uuid { nth },
    4 => Between { before, after },
});
coded_enum!(Fresh { 0 => Uuid { slot }, 1 => Alike { slot }, 2 => Time { slot, format, ahead_us } });
coded_enum!(TimeFormat {
    0 => Epoch { per_second, digits }, 1 => Iso { separator, digits, zone }, 2 => Date,
});
coded_enum!(Zone { 0 => None, 1 => Utc, 2 => Offset(minutes) });

impl Coded for Instants {
    fn put(&self, to: &mut Encoder<'_>) {
        self.values().iter().for_each(|instant| instant.put(to));
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, Broken> {
        let mut values = [None; Self::NAMES.len()];
        for value in &mut values {
            *value = Coded::take(from)?;
        }
        Ok(values.into())
    }
}

/// The two halves of an exchange; a field that is in neither does not compile.
macro_rules! halves {
    (sent: $($sent:ident),*; compared: $($compared:ident),* $(;)?) => {
        fn put_sent(exchange: &Exchange, to: &mut Encoder<'_>) {
            let Exchange { $($sent,)* $($compared: _,)* } = exchange;
            $($sent.put(to);)*
        }

        fn take_sent(from: &mut Decoder<'_>) -> Result<Exchange, Broken> {
            Ok(Exchange { $($sent: Coded::take(from)?,)* ..Exchange::default() })
        }

        fn put_compared(exchange: &Exchange, to: &mut Encoder<'_>) {
            $(exchange.$compared.put(to);)*
        }

        fn take_compared(exchange: &mut Exchange, from: &mut Decoder<'_>) -> Result<(), Broken> {
            $(exchange.$compared = Coded::take(from)?;)*
            Ok(())
        }
    };
}

halves! {
    sent: method, host, target, http_version, request_headers, request_body, request_body_bytes, pacing, status;
    compared: id, connection, started_ns, connection_age_us, tls_us, accept_queue_ms, instants, upstream_reused, route,
        client, response_headers, response_body, response_body_bytes, server_timing, answered_by, ending, end,
        refused_by, would_refuse, attempts, synthesised;
}

/// A whole exchange by itself.
impl Coded for Exchange {
    fn put(&self, to: &mut Encoder<'_>) {
        put_sent(self, to);
        put_compared(self, to);
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, Broken> {
        let mut exchange = take_sent(from)?;
        take_compared(&mut exchange, from)?;
        Ok(exchange)
    }
}

/// Without how it was chosen.
impl Coded for Hole {
    fn put(&self, to: &mut Encoder<'_>) {
        let Self { place, range, escape, source, choice: _ } = self;
        place.put(to);
        (range.start, range.end - range.start).put(to);
        escape.put(to);
        source.put(to);
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, Broken> {
        let place = Coded::take(from)?;
        let (start, bytes) = <(usize, usize)>::take(from)?;
        let range = start..start.checked_add(bytes).ok_or(Broken)?;
        let (escape, source) = (Coded::take(from)?, Coded::take(from)?);
        Ok(Self { place, range, escape, source, choice: Choice::default() })
    }
}

impl<A: Coded, B: Coded> Coded for (A, B) {
    fn put(&self, to: &mut Encoder<'_>) {
        self.0.put(to);
        self.1.put(to);
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, Broken> {
        Ok((A::take(from)?, B::take(from)?))
    }
}

/// The bytes of a session.
pub(super) fn encoded(session: &Session, words: &mut Words, number: u32) -> Vec<u8> {
    let mut to = Encoder::sharing(words, number);
    let mut ends = Vec::with_capacity(session.steps.len());
    for Step { exchange, offset_us, connection, holes } in &session.steps {
        (*offset_us, *connection).put(&mut to);
        holes.put(&mut to);
        put_sent(exchange, &mut to);
        ends.push(to.bytes.len());
    }
    let sent = std::mem::take(&mut to.bytes);
    let Session { key, start_ns, steps: _, orphan } = session;
    key.put(&mut to);
    (*start_ns, *orphan).put(&mut to);
    let begins = std::iter::once(0).chain(ends.iter().copied());
    let lengths: Vec<usize> = begins.zip(&ends).map(|(begin, end)| end - begin).collect();
    lengths.put(&mut to);
    to.bytes.extend_from_slice(&sent);
    for Step { exchange, holes, .. } in &session.steps {
        put_compared(exchange, &mut to);
        for hole in holes {
            hole.choice.put(&mut to);
        }
    }
    to.bytes
}

/// The session of such bytes.
pub(super) fn decoded(bytes: &[u8], words: &Words) -> Result<Session, Broken> {
    let mut from = Decoder::new(bytes, words);
    let key = Coded::take(&mut from)?;
    let (start_ns, orphan) = Coded::take(&mut from)?;
    let mut steps = Vec::new();
    for _ in Vec::<usize>::take(&mut from)? {
        steps.push(take_step(&mut from)?);
    }
    for step in &mut steps {
        take_compared(&mut step.exchange, &mut from)?;
        for hole in &mut step.holes {
            hole.choice = Coded::take(&mut from)?;
        }
    }
    if from.rest().is_empty() { Ok(Session { key, start_ns, steps, orphan }) } else { Err(Broken) }
}

/// What is sent of a step; the rest is as if there had been no answer.
fn take_step(from: &mut Decoder<'_>) -> Result<Step, Broken> {
    let (offset_us, connection) = Coded::take(from)?;
    let holes = Coded::take(from)?;
    Ok(Step { exchange: take_sent(from)?, offset_us, connection, holes })
}

/// What is sent of a session, as bytes.
#[derive(Debug)]
pub(super) struct Sent {
    bytes: Box<[u8]>,
    /// Where each step ends.
    ends: Box<[u32]>,
}

impl Sent {
    pub(super) fn of(entry: &[u8], words: &Words) -> Result<Self, Broken> {
        let mut from = Decoder::new(entry, words);
        String::take(&mut from)?;
        <(i64, bool)>::take(&mut from)?;
        let mut end = 0_u32;
        let lengths = Vec::<u32>::take(&mut from)?.into_iter();
        let ends = lengths.map(|length| {
            end = end.checked_add(length).ok_or(Broken)?;
            Ok(end)
        });
        let ends = ends.collect::<Result<Box<[u32]>, Broken>>()?;
        Ok(Self { bytes: from.bytes(end as usize)?.into(), ends })
    }

    pub(super) fn step(&self, step: usize, words: &Words) -> Result<Step, Broken> {
        let end = *self.ends.get(step).ok_or(Broken)? as usize;
        let begin = step.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        take_step(&mut Decoder::new(self.bytes.get(begin..end).ok_or(Broken)?, words))
    }
}
