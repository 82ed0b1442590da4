//! Which recording a body is, by its content type and its file name's extension.

use super::recording::Recording;
use super::{aac, mp3, mp4, ogg, wav, webm};

/// The kinds of recording that browsers and phones upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioFormat {
    /// What `MediaRecorder` makes in Chrome and Firefox.
    WebmOpus,
    /// A few sizes below two pages (about 2 kB) no file can have.
    OggOpus,
    /// Fragmented MP4, as Safari makes it.
    Mp4Aac,
    /// 16 bits, mono, 16 kHz. Up to 4 GiB.
    Wav,
    /// 64 kbit/s, mono.
    Mp3,
    /// AAC frames without a container (ADTS).
    Aac,
}

impl AudioFormat {
    pub const ALL: [Self; 6] = [Self::WebmOpus, Self::OggOpus, Self::Mp4Aac, Self::Wav, Self::Mp3, Self::Aac];

    /// The format of a body: the one that its `Content-Type` names or, where that says nothing (it is missing,
    /// or `application/octet-stream`), the one that the extension of its file's name does (`webm`, without the
    /// dot). `None` when it is not one of ours. Parameters and case do not matter.
    ///
    /// A type that says something else wins over the extension: whoever reads the body goes by the type.
    pub fn of(content_type: Option<&str>, extension: Option<&str>) -> Option<Self> {
        let essence = essence(content_type.unwrap_or_default());
        if is_silent(&essence) {
            extension.and_then(Self::from_extension)
        } else {
            Self::from_essence(&essence)
        }
    }

    /// The format that a file name's extension names.
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "webm" | "weba" => Some(Self::WebmOpus),
            "ogg" | "oga" | "opus" => Some(Self::OggOpus),
            "m4a" | "mp4" | "m4b" => Some(Self::Mp4Aac),
            "wav" | "wave" => Some(Self::Wav),
            "mp3" => Some(Self::Mp3),
            "aac" => Some(Self::Aac),
            _ => None,
        }
    }

    /// Containers of pictures may hold sound alone, and from a recorder of sound they do.
    fn from_essence(essence: &str) -> Option<Self> {
        match essence {
            "audio/webm" | "video/webm" => Some(Self::WebmOpus),
            "audio/ogg" | "audio/opus" | "audio/x-opus+ogg" | "video/ogg" | "application/ogg" => {
                Some(Self::OggOpus)
            }
            "audio/mp4" | "audio/m4a" | "audio/x-m4a" | "video/mp4" | "application/mp4" => Some(Self::Mp4Aac),
            "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" | "audio/x-pn-wav" => {
                Some(Self::Wav)
            }
            "audio/mpeg" | "audio/mp3" | "audio/x-mp3" | "audio/x-mpeg" | "audio/mpeg3" => Some(Self::Mp3),
            "audio/aac" | "audio/x-aac" | "audio/aacp" | "audio/vnd.dlna.adts" => Some(Self::Aac),
            _ => None,
        }
    }

    /// The usual extension of a file's name, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::WebmOpus => "webm",
            Self::OggOpus => "ogg",
            Self::Mp4Aac => "mp4",
            Self::Wav => "wav",
            Self::Mp3 => "mp3",
            Self::Aac => "aac",
        }
    }

    /// For people: container and codec.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebmOpus => "WebM/Opus",
            Self::OggOpus => "Ogg/Opus",
            Self::Mp4Aac => "MP4/AAC",
            Self::Wav => "WAV",
            Self::Mp3 => "MP3",
            Self::Aac => "AAC",
        }
    }

    /// The smallest recording: head, 100 ms of sound (of WAV 20 ms), and what makes it differ from others. A body
    /// below is of the right size and no recording.
    pub fn bytes_min(self) -> u64 {
        match self {
            Self::WebmOpus => 1_119,
            Self::OggOpus | Self::Aac => 1_005,
            Self::Mp4Aac => 1_767,
            Self::Wav => 708,
            Self::Mp3 => 1_007,
        }
    }

    pub(super) fn recording(self, bytes: u64, variation: u64) -> Option<Recording> {
        match self {
            Self::WebmOpus => webm::recording(bytes, variation),
            Self::OggOpus => ogg::recording(bytes, variation),
            Self::Mp4Aac => mp4::recording(bytes, variation),
            Self::Wav => wav::recording(bytes, variation),
            Self::Mp3 => mp3::recording(bytes, variation),
            Self::Aac => aac::recording(bytes, variation),
        }
    }
}

/// Type and subtype of a content type, in lower case.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Types that browsers and libraries give to a file that they know nothing of.
fn is_silent(essence: &str) -> bool {
    matches!(essence, "" | "application/octet-stream" | "binary/octet-stream" | "application/binary")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_what_its_type_says_or_else_its_name() {
        use AudioFormat::{Aac, Mp3, Mp4Aac, OggOpus, Wav, WebmOpus};
        let octets = Some("application/octet-stream");
        let table = [
            (Some("audio/webm"), None, Some(WebmOpus)),
            (Some("audio/webm;codecs=opus"), Some("bin"), Some(WebmOpus)),
            (Some("video/webm"), None, Some(WebmOpus)),
            (Some(" Audio/OGG ; codecs=opus"), None, Some(OggOpus)),
            (Some("application/ogg"), None, Some(OggOpus)),
            (Some("audio/mp4"), None, Some(Mp4Aac)),
            (Some("video/mp4"), None, Some(Mp4Aac)),
            (Some("audio/x-m4a"), None, Some(Mp4Aac)),
            (Some("audio/mpeg"), None, Some(Mp3)),
            (Some("audio/mp3"), None, Some(Mp3)),
            (Some("audio/wav"), None, Some(Wav)),
            (Some("audio/x-wav"), None, Some(Wav)),
            (Some("audio/wave"), None, Some(Wav)),
            (Some("audio/aac"), None, Some(Aac)),
            (Some("audio/vnd.dlna.adts"), Some("aac"), Some(Aac)),
            (octets, Some("webm"), Some(WebmOpus)),
            (octets, Some("opus"), Some(OggOpus)),
            (octets, Some("ogg"), Some(OggOpus)),
            (octets, Some("M4A"), Some(Mp4Aac)),
            (octets, Some("wav"), Some(Wav)),
            (octets, Some("mp3"), Some(Mp3)),
            (octets, Some("aac"), Some(Aac)),
            (octets, Some("zip"), None),
            (octets, None, None),
            (Some(""), Some("webm"), Some(WebmOpus)),
            (None, Some("webm"), Some(WebmOpus)),
            (None, Some(".webm"), None),
            (None, None, None),
            (Some("image/png"), Some("mp3"), None),
            (Some("audio/flac"), Some("wav"), None),
            (Some("audio/webmx"), None, None),
            (Some("webm"), None, None),
            (Some("text/plain"), Some("webm"), None),
        ];
        for (content_type, extension, format) in table {
            assert_eq!(AudioFormat::of(content_type, extension), format, "{content_type:?}, {extension:?}");
        }
    }

    #[test]
    fn every_format_has_an_extension_of_its_own() {
        for format in AudioFormat::ALL {
            assert_eq!(AudioFormat::from_extension(format.extension()), Some(format));
        }
    }
}
